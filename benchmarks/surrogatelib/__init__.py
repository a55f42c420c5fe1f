"""SurrogateLIB's "function" instances, made by their recipe."""
