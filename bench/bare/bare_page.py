"""A page, and nothing else."""

PAGE = "<!doctype html><title>Recordings</title><script src=page.js></script>"


def lambda_handler(_event, _context):
    return {"statusCode": 200, "headers": {"content-type": "text/html"}, "body": PAGE}
