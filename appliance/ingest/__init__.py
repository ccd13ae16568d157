"""From bytes to searchable passages: durable jobs, the document path, readers in a child process, chunking.

Nothing is imported here: the reading child imports this package too, and needs neither the store nor the embedder.
"""
