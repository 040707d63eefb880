_RESOURCE_HANDLERS: dict[str, dict[str, object]]
