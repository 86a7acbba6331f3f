import random

import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.specs.errors import UserError

NAMES = {"user": "user_id", "item": "movie_id", "label": "like"}
SEEN = ("liked", "genres")
GENRES = ("Action", "Children's", "Film-Noir")


def write_1m(folder, ordered=False, seed=0):
    """Writes a small MovieLens 1M in the publisher's layout; moments repeat within users."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    users = [f"{u}::{draw.choice('FM')}::25::{draw.randrange(21)}::0{u}" for u in range(1, 9)]
    (folder / "users.dat").write_text("\n".join(users) + "\n", encoding="latin-1")
    movies = [
        f"{m}::Café {m} ({1990 + m % 9})::{'|'.join(draw.sample(GENRES, draw.randint(1, 3)))}"
        for m in range(1, 31)
    ]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")
    lines = []
    for user in range(1, 9):
        rated = draw.sample(range(1, 31), draw.choice([1, 2, 3, 10, 25]))
        for position, movie in enumerate(rated):
            if ordered:
                lines.append(f"{user}\t{movie}\t{position}\t{draw.randint(0, 1)}")
            else:
                moment = 978_300_000 + draw.randrange(40)
                lines.append(f"{user}::{movie}::{draw.randint(1, 5)}::{moment}")
    draw.shuffle(lines)
    if ordered:
        lines.insert(0, "user_id\tmovie_id\tposition\tlike")
    name = "interactions_ordered.tsv" if ordered else "ratings.dat"
    (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


def read_log(twin, folder, name, separator, header=False, threshold=4):
    """The log in plain Python; `liked` is what histories show."""
    genres = read_genres(twin, folder)
    with twin.open_text(folder / name, "latin-1") as file:
        lines = [line.rstrip("\n").split(separator) for line in file]
    events = []
    for cells in lines[1:] if header else lines:
        user, movie, third, fourth = (int(cell) for cell in cells)
        time, like = (third, fourth) if header else (fourth, int(third >= threshold))
        events.append(twin.Event(user, movie, time, like, (like, genres[movie])))
    return events


def read_genres(twin, folder):
    if (folder / "u.item").is_file():
        return read_genres_100k(twin, folder)
    with twin.open_text(folder / "movies.dat", "latin-1") as file:
        rows = [line.rstrip("\n").split("::") for line in file]
    return {int(cells[0]): tuple(cells[2].split("|")) for cells in rows}


def read_genres_100k(twin, folder):
    names = (
        "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
        "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
    ).split("|")
    with twin.open_text(folder / "u.item", "latin-1") as file:
        rows = [line.rstrip("\n").split("|") for line in file]
    return {
        int(cells[0]): tuple(
            name for name, flag in zip(names, cells[5:], strict=True) if flag == "1"
        )
        for cells in rows
    }


def write_100k(folder):
    """Writes a small MovieLens 100K in the publisher's layout."""
    draw = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    ratings = [
        f"{user}\t{movie}\t{draw.randint(1, 5)}\t{880_000_000 + draw.randrange(60)}"
        for user in range(1, 7)
        for movie in draw.sample(range(1, 21), 12)
    ]
    (folder / "u.data").write_text("\n".join(ratings) + "\n")
    users = [f"{user}|{20 + user}|F|writer|0000{user}" for user in range(1, 7)]
    (folder / "u.user").write_text("\n".join(users) + "\n")
    movies = []
    for movie in range(1, 21):
        flags = [str(int(place in (5, movie % 5))) for place in range(19)]
        movies.append(f"{movie}|Été ({1980 + movie})|01-Jan-1995||http://x|{'|'.join(flags)}")
    (folder / "u.item").write_text("\n".join(movies) + "\n", encoding="latin-1")
    return folder


def check(twin, prepared, dataset, source, name, separator, header=False, every=1, seen=SEEN):
    folder = prepared(dataset, source)
    log = read_log(twin, source, name, separator, header)
    time = "position" if header else "time"
    log = [event._replace(seen=event.seen[: len(seen)]) for event in log]
    slow = twin.Twin(folder, log, time=time, seen=seen, **NAMES)
    slow.check(split_by=time, every=every)
    return slow


def test_1m_rows_know_only_strictly_earlier_ratings(tmp_path, slow_twin, prepared):
    source = write_1m(tmp_path / "ml")
    slow = check(slow_twin, prepared, "movielens-1m", source, "ratings.dat", "::")
    assert any(row["history_count"] for row in slow.rows["test"])


def test_1m_ordered_rows_know_only_strictly_earlier_ratings(tmp_path, slow_twin, prepared):
    source = write_1m(tmp_path / "ml", ordered=True)
    name = "interactions_ordered.tsv"
    check(slow_twin, prepared, "movielens-1m", source, name, "\t", header=True)


def test_100k_rows_know_only_strictly_earlier_ratings(tmp_path, slow_twin, prepared):
    source = write_100k(tmp_path / "ml")
    slow = check(slow_twin, prepared, "movielens-100k", source, "u.data", "\t")
    row = slow_twin.rows(slow.folder, "train")[0]
    assert row["occupation"] == "writer" and row["age"] == 20 + row["user_id"]
    assert row["year"] == 1980 + row["movie_id"]


def test_rating_threshold_decides_the_label(tmp_path, slow_twin, prepared):
    source = write_1m(tmp_path / "ml")
    folder = prepared("movielens-1m", source, rating_threshold=2)
    log = read_log(slow_twin, source, "ratings.dat", "::", threshold=2)
    slow = slow_twin.Twin(folder, log, time="time", seen=SEEN, **NAMES)
    slow.check(split_by="time")


def test_attributes_stand_beside_every_row(tmp_path, slow_twin, prepared):
    source = write_1m(tmp_path / "ml")
    folder = prepared("movielens-1m", source)
    genres = read_genres(slow_twin, source)
    for row in slow_twin.rows(folder, "train"):
        assert tuple(row["genres"]) == genres[row["movie_id"]]
        assert row["age"] == 25 and row["gender"] in "FM"


def test_rating_threshold_out_of_range(tmp_path):
    source = write_1m(tmp_path / "ml")
    with pytest.raises(UserError, match="`rating_threshold` must be above 0 and at most 5"):
        prepare("movielens-1m", source, tmp_path / "out", rating_threshold=6)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_real_1m_rows_know_only_strictly_earlier_ratings(data_dir, slow_twin, prepared):
    source, name = data_dir / "movielens-1m", "interactions_ordered.tsv"
    seen = ("liked",)
    check(slow_twin, prepared, "movielens-1m", source, name, "\t", True, every=997, seen=seen)


def test_real_100k_rows_know_only_strictly_earlier_ratings(data_dir, slow_twin, prepared):
    source = data_dir / "movielens-100k"
    check(slow_twin, prepared, "movielens-100k", source, "u.data", "\t", every=97)
