"""The systems that `bench peers` measures, each a program of its own."""
