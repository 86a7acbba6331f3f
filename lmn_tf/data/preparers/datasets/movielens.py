"""MovieLens 1M and 100K in the publisher's layout, and MovieLens 1M as ordered likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan, quoted, text
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.specs.errors import UserError

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions

_GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
_ATTRIBUTES = ("age", "gender", "occupation")


def read_1m(sources: Sources, options: PrepareOptions, rating_threshold: float = 4.0) -> Plan:
    """Reads `ratings.dat` (or the ordered file), `users.dat` and `movies.dat`."""
    engine = sources.engine
    ratings = sources.find("ratings.dat", required=False)
    if ratings:
        _ratings(sources, ratings, "::", rating_threshold)
    else:
        ordered = sources.find("interactions_ordered.tsv", "ratings.dat")
        columns = [
            Column("user_id", "BIGINT"),
            Column("movie_id", "BIGINT"),
            Column("position", "BIGINT", rule="position >= 0"),
            Column("like", "BIGINT", rule='"like" IN (0, 1)'),
        ]
        sources.text("ratings", ordered, columns, "\t", header=True)
        engine.table("events", _EVENTS.format(time="position", like='"like"'))
    users = [
        Column("_user", "BIGINT"),
        Column("gender"),
        Column("age", "BIGINT"),
        Column("occupation", "BIGINT"),
        Column("zip"),
    ]
    sources.text("users", sources.find("users.dat"), users, "::", encoding="latin-1")
    movies = [Column("_item", "BIGINT"), Column("title"), Column("genres_text")]
    sources.text("movies", sources.find("movies.dat"), movies, "::", encoding="latin-1")
    engine.table(
        "items",
        f"""
SELECT _seq, _item, string_split(genres_text, '|') AS genres, {_YEAR} AS year FROM movies""",
    )
    return _plan("movielens_1m", "time" if ratings else "position", rating_threshold)


def read_100k(sources: Sources, options: PrepareOptions, rating_threshold: float = 4.0) -> Plan:
    """Reads `u.data`, `u.user` and `u.item`."""
    _ratings(sources, sources.find("u.data"), "\t", rating_threshold)
    users = [
        Column("_user", "BIGINT"),
        Column("age", "BIGINT"),
        Column("gender"),
        Column("occupation"),
        Column("zip"),
    ]
    sources.text("users", sources.find("u.user"), users, "|", encoding="latin-1")
    flags = [
        Column(genre, "BIGINT", source=5 + index, rule=f'"{genre}" IN (0, 1)')
        for index, genre in enumerate(_GENRES)
    ]
    columns = [Column("_item", "BIGINT"), Column("title"), *flags]
    width = 5 + len(_GENRES)
    files = sources.find("u.item")
    sources.text("movies", files, columns, "|", encoding="latin-1", width=width)
    genres = ", ".join(f"CASE WHEN {quoted(genre)} = 1 THEN {text(genre)} END" for genre in _GENRES)
    sources.engine.table(
        "items",
        f"""
SELECT _seq, _item, string_split(nullif(concat_ws('|', {genres}), ''), '|') AS genres,
  {_YEAR} AS year
FROM movies""",
    )
    return _plan("movielens_100k", "time", rating_threshold)


_EVENTS = """
SELECT user_id AS _user, movie_id AS _item, {time} AS _time, {like} AS _label, {like} AS liked, _seq
FROM ratings"""
_YEAR = "TRY_CAST(regexp_extract(title, '\\((\\d{4})\\)\\s*$', 1) AS BIGINT)"


def _ratings(sources, files, separator, threshold):
    columns = [
        Column("user_id", "BIGINT"),
        Column("movie_id", "BIGINT"),
        Column("rating", "DOUBLE", rule="rating BETWEEN 0.5 AND 5"),
        Column("time", "BIGINT", rule="time >= 0"),
    ]
    sources.text("ratings", files, columns, separator)
    if not 0 < threshold <= 5:
        raise UserError(
            "`rating_threshold` must be above 0 and at most 5. "
            f"Received: rating_threshold={threshold}"
        )
    like = f"CASE WHEN rating >= {threshold} THEN 1 ELSE 0 END"
    sources.engine.table("events", _EVENTS.format(time="time", like=like))


def _plan(dataset, ordered_by, threshold):
    return Plan(
        dataset=dataset,
        user="user_id",
        item="movie_id",
        label="like",
        time=ordered_by,
        ordered_by=ordered_by,
        sampled=False,
        history=("liked", "genres"),
        user_columns=_ATTRIBUTES,
        item_columns=("genres", "year"),
        notes=(
            "Every rating is a row."
            if ordered_by == "position"
            else f"Every rating is a row; `like` is 1 from {threshold:g} stars on.",
            "`liked` in a history is the label of that earlier event.",
        ),
    )
