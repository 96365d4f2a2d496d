"""The version, read by setup.cfg and written into every manifest."""

VERSION = "0.1.0"
