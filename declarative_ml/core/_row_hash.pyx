# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The hashes of texts in C; see declarative_ml.core.row_hash, which says what they are."""

from libc.stdint cimport int64_t, uint8_t, uint64_t


def text_hashes(
    const int64_t[::1] offsets,
    const uint8_t[::1] data,
    const uint64_t[::1] letters,
    uint64_t base,
    uint64_t[::1] polynomials,
):
    """Fill `polynomials` [N]: of each text, the sum of letters[byte] * base**place modulo 2**64."""
    cdef Py_ssize_t row, place
    cdef uint64_t total
    if data.shape[0] == 0:
        polynomials[:] = 0
        return
    with nogil:
        for row in range(polynomials.shape[0]):
            total = 0
            for place in range(offsets[row + 1] - 1, offsets[row] - 1, -1):
                total = total * base + letters[data[place]]
            polynomials[row] = total
