"""/v1: the routes, parameters, streams and errors that clients of the OpenAI API know, over the same appliance.

Models `rag-appliance…` answer from the documents as POST /query does; the generator's own name writes from the
messages alone.
"""
