"""How the keywords ``network=``, ``inputs=`` and ``outputs=`` of a block are read."""
