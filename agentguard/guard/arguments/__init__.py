"""How the arguments of a call are read: by a function's signature, or by the JSON schema of a framework's tool."""
