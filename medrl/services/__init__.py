"""Services: what people and other programs reach over HTTP."""
