"""Small pieces of SQL text."""


def quoted(name):
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value):
    """`value` as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def seeded_hash(seed, purpose, *columns):
    """SQL of a 64-bit number that depends on the seed, a purpose and the columns only."""
    parts = ", ".join(f"coalesce(CAST({column} AS VARCHAR), '')" for column in columns)
    return f"md5_number_lower(concat_ws('|', {text(f'{seed}/{purpose}')}, {parts}))"
