"""rag-appliance: answers questions from a host's own documents, with exact citations, in one offline process."""

__version__ = "0.1.0"
