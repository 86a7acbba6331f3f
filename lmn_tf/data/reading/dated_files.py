"""The files of each day of a run."""

from typing import Any

from lmn_tf.data.formats import match_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import MARK, PipelineData

_TOLD = 5


def dated_files(train: str, days: Any) -> tuple[dict[str, list[str]], list[str]]:
    """Finds the files of each day.

    Args:
        train: Glob of the files of a day, which contains `{day}`.
        days: `Days` of a `PipelineData`.

    Returns:
        A dictionary from day (`2024-01-31`) to its files, in order, and the days without files.

    Raises:
        UserError: If days have no files and `days.missing` is not `"skip"`, if no day has files, or
            if two days share a file.
    """
    files_of_days, missing, owner = {}, [], {}
    for day, pattern in days.paths(train).items():
        try:
            files_of_days[day] = match_files(pattern)
        except UserError as error:
            if error.file is not None:  # an empty file
                raise
            missing.append(day)
            continue
        for file in files_of_days[day]:
            if owner.setdefault(file, day) != day:
                raise UserError(
                    f"`train` must name other files for each `{MARK}`. "
                    f"Received: {file} for {owner[file]} and {day}"
                )
    if missing and (days.missing == "error" or not files_of_days):
        named = ", ".join(missing[:_TOLD]) + (", ..." if len(missing) > _TOLD else "")
        hint = " (`days.missing: skip` leaves them out)" if files_of_days else ""
        raise UserError(
            f"each day from {days.first} to {days.last} must have files that match {train}. "
            f"Received: none for {len(missing)} of {len(missing) + len(files_of_days)} days: "
            f"{named}{hint}"
        )
    return files_of_days, missing


def unseen_files(data: PipelineData) -> str | list[str] | None:
    """Returns the test files, else the validation files, else those of the last day.

    Args:
        data: The `data` section of a `PipelineSpec`.

    Returns:
        Glob or list of files, or `None` if there are none of these.

    Raises:
        UserError: As in `dated_files`.
    """
    if data.test or data.valid:
        return data.test or data.valid
    if data.days is None:
        return None
    return list(dated_files(data.train, data.days)[0].values())[-1]
