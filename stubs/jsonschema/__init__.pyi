from collections.abc import Iterator

class ValidationError(Exception):
    message: str
    json_path: str

class Draft202012Validator:
    FORMAT_CHECKER: object
    def __init__(self, schema: object, *, format_checker: object = ...) -> None: ...
    def iter_errors(self, instance: object) -> Iterator[ValidationError]: ...
