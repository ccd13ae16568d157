"""One extension module (the Rust core with pdfium) and the library beside it; the Python parts for OCR are not used."""

excludedimports = ["kreuzberg.ocr", "easyocr", "paddleocr"]
