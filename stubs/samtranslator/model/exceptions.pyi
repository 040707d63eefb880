class InvalidDocumentException(Exception):
    message: str
