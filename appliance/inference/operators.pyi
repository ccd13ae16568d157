"""`operators.cpp`: operators for onnxruntime, compiled; sessions are given the module's file as a library.

Domain `rag_appliance`. Rows are of a multiple of 16 floats; a product is one of bytes, short of its row's range:

- Quantise: x (…, n) -> uint8 around 128 (…, n), range (…, 1): x = range / 127 * (uint8 - 128).
- GeluQuantise: product (…, n), range (…, 1), bias (n) -> Quantise of GELU(product * range + bias).
- NormQuantise: product, range, bias, residual (…, n), scale (n), shift (n); `epsilon` -> the layer norm of
  product * range + bias + residual, and Quantise of it.
- AttentionQuantise: product (b, s, 3 h) of queries, keys and values, range, bias, mask (b, s) int64 -> Quantise of the
  attention (b, s, h) of heads of 32.
"""
