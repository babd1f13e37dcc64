"""Pictures from the viewer of the Legacy Surveys."""
