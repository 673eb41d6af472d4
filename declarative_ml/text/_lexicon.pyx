# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A table of tokens in C; see declarative_ml.text.lexicon and declarative_ml.text.tokens.

Open addressing with linear probing; every hit is confirmed byte by byte, so that a hash decides nothing.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy

import numpy as np

cdef enum:
    SEPARATOR = 0
    WORD = 1
    SINGLE = 2


cdef inline Py_ssize_t decode(const uint8_t* text, Py_ssize_t left, int32_t* point) noexcept nogil:
    """The code point at `text` and its length in bytes; a broken sequence counts as a separator."""
    cdef uint8_t first = text[0]
    if first < 0x80:
        point[0] = first
        return 1
    if first >= 0xF0 and first < 0xF8 and left >= 4:
        point[0] = ((first & 0x07) << 18) | ((text[1] & 0x3F) << 12) | ((text[2] & 0x3F) << 6) | (text[3] & 0x3F)
        if point[0] <= 0x10FFFF:
            return 4
    elif first >= 0xE0 and first < 0xF0 and left >= 3:
        point[0] = ((first & 0x0F) << 12) | ((text[1] & 0x3F) << 6) | (text[2] & 0x3F)
        return 3
    elif first >= 0xC0 and first < 0xE0 and left >= 2:
        point[0] = ((first & 0x1F) << 6) | (text[1] & 0x3F)
        return 2
    point[0] = 0
    return 1


cdef class Lexicon:
    cdef const uint8_t[::1] kinds
    cdef int32_t* slots      # number of a token, 0 = free
    cdef uint64_t* hashes    # by number
    cdef int64_t* starts     # by number, in `arena`; one more entry marks the end
    cdef uint8_t* arena
    cdef int64_t room        # of the arena
    cdef int64_t known
    cdef int64_t places      # of hashes and starts
    cdef uint64_t mask       # number of slots - 1

    def __cinit__(self, const uint8_t[::1] kinds):
        self.kinds = kinds
        self.mask = 1023
        self.places = 512
        self.room = 1 << 14
        self.slots = <int32_t*>calloc(self.mask + 1, sizeof(int32_t))
        self.hashes = <uint64_t*>malloc((self.places + 2) * sizeof(uint64_t))
        self.starts = <int64_t*>malloc((self.places + 2) * sizeof(int64_t))
        self.arena = <uint8_t*>malloc(self.room)
        if not (self.slots and self.hashes and self.starts and self.arena):
            raise MemoryError
        self.starts[1] = 0

    def __dealloc__(self):
        free(self.slots)
        free(self.hashes)
        free(self.starts)
        free(self.arena)

    def __len__(self):
        return self.known

    def add(self, bytes token not None):
        """Learn one token."""
        cdef const uint8_t* text = token
        cdef uint64_t key = 0xCBF29CE484222325
        cdef Py_ssize_t place, size = len(token)
        for place in range(size):
            key = (key ^ text[place]) * <uint64_t>0x100000001B3
        if self.number(text, size, key, True) < 0:
            raise MemoryError

    def tokens(self):
        """The bytes of every token, from number 1 on."""
        cdef int64_t number
        return [
            self.arena[self.starts[number] : self.starts[number + 1]] for number in range(1, self.known + 1)
        ]

    def read(self, const int32_t[::1] offsets, const uint8_t[::1] data, int64_t[::1] counts, bint learn):
        """The numbers of all tokens, int32 [T]; `counts` [N] is filled. `offsets` are N + 1 places in `data`."""
        cdef Py_ssize_t texts = counts.shape[0]
        cdef Py_ssize_t size = offsets[texts] - offsets[0]
        cdef Py_ssize_t longest = 0, row
        for row in range(texts):
            longest = max(longest, offsets[row + 1] - offsets[row])
        found = np.empty(size, dtype=np.int32)
        if size == 0:
            return found
        cdef int32_t[::1] numbers = found
        cdef uint8_t* scratch = <uint8_t*>malloc(longest)
        if not scratch:
            raise MemoryError
        cdef Py_ssize_t total = 0, added = 0
        cdef const uint8_t* text = &data[0]
        with nogil:
            for row in range(texts):
                added = self.scan(
                    text + offsets[row], offsets[row + 1] - offsets[row], scratch, &numbers[0] + total, learn
                )
                if added < 0:
                    break
                counts[row] = added
                total += added
        free(scratch)
        if added < 0:
            raise MemoryError
        return found[:total].copy()

    cdef Py_ssize_t scan(
        self, const uint8_t* text, Py_ssize_t size, uint8_t* scratch, int32_t* numbers, bint learn
    ) noexcept nogil:
        """Write the numbers of one text's tokens; how many, or -1 without memory. A token fits in `scratch`."""
        cdef const uint8_t* kinds = &self.kinds[0]
        cdef Py_ssize_t place = 0, step, length, byte, total = 0
        cdef int32_t point, number
        cdef uint64_t key
        cdef uint8_t kind, one
        while place < size:
            length = 0
            key = 0xCBF29CE484222325
            while place < size:
                step = decode(text + place, size - place, &point)
                kind = kinds[point]
                if kind == SEPARATOR or (kind == SINGLE and length):
                    if kind == SEPARATOR:
                        place += step
                    break
                for byte in range(step):
                    one = text[place + byte]
                    if one >= 65 and one <= 90:
                        one += 32
                    scratch[length] = one
                    length += 1
                    key = (key ^ one) * <uint64_t>0x100000001B3
                place += step
                if kind == SINGLE:
                    break
            if length:
                number = self.number(scratch, length, key, learn)
                if number < 0:
                    return -1
                numbers[total] = number
                total += 1
        return total

    cdef int32_t number(self, const uint8_t* token, Py_ssize_t size, uint64_t key, bint learn) noexcept nogil:
        """The number of a token, 0 when it is unknown, -1 without memory."""
        key ^= key >> 32
        cdef uint64_t slot = key & self.mask
        cdef int32_t number = self.slots[slot]
        while number:
            if (
                self.hashes[number] == key
                and self.starts[number + 1] - self.starts[number] == size
                and memcmp(self.arena + self.starts[number], token, size) == 0
            ):
                return number
            slot = (slot + 1) & self.mask
            number = self.slots[slot]
        if not learn:
            return 0
        return self.insert(token, size, key, slot)

    cdef int32_t insert(self, const uint8_t* token, Py_ssize_t size, uint64_t key, uint64_t slot) noexcept nogil:
        cdef int64_t start = self.starts[self.known + 1]
        if not self.make_room(start + size):
            return -1
        self.known += 1
        memcpy(self.arena + start, token, size)
        self.hashes[self.known] = key
        self.starts[self.known + 1] = start + size
        self.slots[slot] = <int32_t>self.known
        if 2 * self.known > <int64_t>self.mask and not self.spread():
            return -1
        return <int32_t>self.known

    cdef bint make_room(self, int64_t end) noexcept nogil:
        """Room for one token more, of which the last byte stands before `end`."""
        cdef void* more
        if end > self.room:
            more = realloc(self.arena, 2 * end)
            if not more:
                return False
            self.arena = <uint8_t*>more
            self.room = 2 * end
        if self.known + 2 > self.places:
            more = realloc(self.hashes, (2 * self.places + 2) * sizeof(uint64_t))
            if not more:
                return False
            self.hashes = <uint64_t*>more
            more = realloc(self.starts, (2 * self.places + 2) * sizeof(int64_t))
            if not more:
                return False
            self.starts = <int64_t*>more
            self.places *= 2
        return True

    cdef bint spread(self) noexcept nogil:
        """Four times the slots."""
        cdef uint64_t mask = 4 * (self.mask + 1) - 1, slot
        cdef int32_t* slots = <int32_t*>calloc(mask + 1, sizeof(int32_t))
        cdef int64_t number
        if not slots:
            return False
        for number in range(1, self.known + 1):
            slot = self.hashes[number] & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = <int32_t>number
        free(self.slots)
        self.slots = slots
        self.mask = mask
        return True


cdef inline uint64_t scattered(int64_t key) noexcept nogil:
    """The finaliser of splitmix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    cdef uint64_t mixed = <uint64_t>key
    mixed = (mixed ^ (mixed >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EB
    return mixed ^ (mixed >> 31)


cdef struct Table:
    int64_t* keys       # by place; 0 = free
    int32_t* numbers
    uint64_t mask


cdef class Terms:
    """The numbers of runs of tokens by their keys; see declarative_ml.text.vocabulary."""

    cdef Table tables[2]
    cdef int orders          # how many of the tables are in use
    cdef int64_t base
    cdef int64_t* stamps     # by term: the last row with it, counted from 1 over all calls
    cdef int64_t* places     # by term: where this row counts it
    cdef int64_t row

    def __cinit__(self, keys, starts, int64_t base, int64_t size):
        self.base = base
        self.orders = 0
        self.stamps = <int64_t*>calloc(size + 1, sizeof(int64_t))
        self.places = <int64_t*>calloc(size + 1, sizeof(int64_t))
        if not (self.stamps and self.places):
            raise MemoryError
        for known, start in zip(keys, starts, strict=True):
            self.fill(known, start)

    def __dealloc__(self):
        cdef int order
        for order in range(self.orders):
            free(self.tables[order].keys)
            free(self.tables[order].numbers)
        free(self.stamps)
        free(self.places)

    cdef fill(self, const int64_t[::1] keys, int32_t start):
        cdef Table table
        cdef uint64_t place
        cdef Py_ssize_t index
        table.mask = 15
        while table.mask < 2 * <uint64_t>keys.shape[0]:
            table.mask = 2 * table.mask + 1
        table.keys = <int64_t*>calloc(table.mask + 1, sizeof(int64_t))
        table.numbers = <int32_t*>calloc(table.mask + 1, sizeof(int32_t))
        self.tables[self.orders] = table
        self.orders += 1
        if not (table.keys and table.numbers):
            raise MemoryError
        for index in range(keys.shape[0]):
            place = scattered(keys[index]) & table.mask
            while table.keys[place]:
                place = (place + 1) & table.mask
            table.keys[place] = keys[index]
            table.numbers[place] = start + <int32_t>index

    def count(self, const int32_t[::1] tokens, const int64_t[::1] words):
        """Of N texts with so many `words`: ends int64 [N], terms int32 [K] and counts float32 [K].

        The terms of a text are different, in the order in which they come.
        """
        cdef Py_ssize_t texts = words.shape[0], row, start = 0, longest = 1
        for row in range(texts):
            longest = max(longest, words[row])
        ends = np.empty(texts, dtype=np.int64)
        terms = np.empty((self.orders + 1) * tokens.shape[0] + 1, dtype=np.int32)
        counts = np.empty(len(terms), dtype=np.float32)
        cdef int64_t[::1] end = ends
        cdef int32_t[::1] term = terms
        cdef float[::1] count = counts
        cdef int32_t* current = <int32_t*>malloc(longest * sizeof(int32_t))
        cdef int64_t total = 0
        if not current:
            raise MemoryError
        with nogil:
            for row in range(texts):
                if words[row]:
                    total = self.scan(&tokens[start], words[row], current, &term[0], &count[0], total)
                start += words[row]
                end[row] = total
        free(current)
        return ends, terms[:total].copy(), counts[:total].copy()

    cdef int64_t scan(
        self, const int32_t* tokens, int64_t size, int32_t* current, int32_t* terms, float* counts, int64_t total
    ) noexcept nogil:
        """Count one text's terms from place `total` on; the place behind the last."""
        cdef int64_t place
        cdef int order
        self.row += 1
        for place in range(size):
            current[place] = tokens[place]
            total = self.note(tokens[place], terms, counts, total)
        for order in range(1, self.orders + 1):
            for place in range(size - order):
                current[place] = self.number(&self.tables[order - 1], current[place], tokens[place + order])
                total = self.note(current[place], terms, counts, total)
        return total

    cdef inline int64_t note(self, int32_t term, int32_t* terms, float* counts, int64_t total) noexcept nogil:
        if term == 0:
            return total
        if self.stamps[term] == self.row:
            counts[self.places[term]] += 1
            return total
        self.stamps[term] = self.row
        self.places[term] = total
        terms[total] = term
        counts[total] = 1
        return total + 1

    cdef inline int32_t number(self, const Table* table, int32_t head, int32_t last) noexcept nogil:
        cdef int64_t key = head * self.base + last
        cdef uint64_t place
        if head == 0 or last == 0:
            return 0
        place = scattered(key) & table.mask
        while table.keys[place]:
            if table.keys[place] == key:
                return table.numbers[place]
            place = (place + 1) & table.mask
        return 0
