# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Readings from spaCy's own tokens, without the interpreter; see declarative_ml.text.linguistics.

A word is made in Python once and then found by spaCy's hash of it: UTF-8 behind a blank, in one arena. Tables
are open addressing with linear probing; the keys are hashes already.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from cython.operator cimport dereference
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from libcpp.unordered_map cimport unordered_map
from libcpp.vector cimport vector

from spacy.attrs cimport attr_id_t
from spacy.lexeme cimport Lexeme
from spacy.structs cimport TokenC
from spacy.tokens.doc cimport Doc

cdef enum:
    BEGINS = 3     # ENT_IOB of the first token of an entity
    PARTS = 256    # more than there are parts of speech
    ENTRY = 64     # bytes that an entry costs beside its word
    SMALLEST = 1024

cdef struct Slot:
    uint64_t key     # 0 = free: the hash of the empty string
    uint32_t start   # in the arena
    uint32_t size

cdef struct Table:
    uint64_t mask    # number of slots - 1
    uint64_t used


cdef class Writer:
    cdef vector[Slot] slots[2]    # words, labels of entities
    cdef Table tables[2]
    cdef vector[char] arena
    cdef vector[char] part_arena
    cdef Slot parts[PARTS]
    cdef vector[char] text
    cdef size_t written
    cdef size_t most
    cdef bint lemmas
    cdef bint entities
    cdef bint tags
    cdef object makers

    def __init__(self, words_of, entity_word, dict parts, bint lemmas, bint entities, size_t most):
        self.makers = words_of, entity_word
        self.lemmas, self.entities, self.tags, self.most = lemmas, entities, bool(parts), most
        self.text.resize(1 << 12)
        for part in range(PARTS):
            self.parts[part].size = 0
        for part, word in parts.items():
            if not 0 <= part < PARTS:
                raise ValueError(f"the part of speech {part} is out of range")
            self.store(&self.part_arena, &self.parts[<int>part], word)
        self.forget()

    def write(self, Doc doc not None):
        """The reading of what a pipeline found."""
        strings = doc.vocab.strings
        cdef const TokenC* tokens = doc.c
        cdef int size = doc.length
        self.written = 0
        with nogil:
            self.walk(tokens, size, <void*>strings)
        if self.written == 0:
            return ""
        return PyUnicode_DecodeUTF8(self.text.data() + 1, self.written - 1, NULL)

    cdef int walk(self, const TokenC* tokens, int size, void* strings) except -1 nogil:
        cdef int place
        cdef uint64_t key
        for place in range(size):
            key = tokens[place].lemma if self.lemmas else 0
            if key == 0:
                key = tokens[place].lex.lower
            self.append_known(0, key, strings)
        if self.entities:
            for place in range(size):
                if tokens[place].ent_iob == BEGINS and tokens[place].ent_type != 0:
                    self.append_known(1, tokens[place].ent_type, strings)
        if self.tags:
            for place in range(size):
                if 0 <= <int>tokens[place].pos < PARTS:
                    self.append(&self.part_arena, &self.parts[<int>tokens[place].pos])
        return 0

    cdef inline int append_known(self, int kind, uint64_t key, void* strings) except -1 nogil:
        cdef Slot* slot
        if key == 0:
            return 0
        slot = self.find(kind, key)
        if slot.key == 0:
            with gil:
                self.learn(kind, key, <object>strings)
            slot = self.find(kind, key)
        self.append(&self.arena, slot)
        return 0

    cdef inline int append(self, vector[char]* arena, const Slot* slot) except -1 nogil:
        if slot.size == 0:
            return 0
        if self.written + slot.size > self.text.size():
            self.lengthen(slot.size)
        memcpy(self.text.data() + self.written, arena.data() + slot.start, slot.size)
        self.written += slot.size
        return 0

    cdef int lengthen(self, size_t more) except -1 nogil:
        self.text.resize(2 * (self.written + more))
        return 0

    cdef inline Slot* find(self, int kind, uint64_t key) noexcept nogil:
        """The slot with this key, or the free one where it belongs."""
        cdef Slot* slots = self.slots[kind].data()
        cdef uint64_t mask = self.tables[kind].mask
        cdef uint64_t place = key & mask
        while slots[place].key != key and slots[place].key != 0:
            place = (place + 1) & mask
        return slots + place

    cdef int learn(self, int kind, uint64_t key, strings) except -1:
        cdef str word = self.makers[kind](strings[key])
        cdef Slot* slot
        if self.arena.size() + ENTRY * (self.tables[0].used + self.tables[1].used) > self.most:
            self.forget()
        if 2 * self.tables[kind].used > self.tables[kind].mask:
            self.spread(kind)
        slot = self.find(kind, key)
        self.store(&self.arena, slot, word)
        slot.key = key
        self.tables[kind].used += 1
        return 0

    cdef int store(self, vector[char]* arena, Slot* slot, str word) except -1:
        cdef bytes text = b" " + word.encode() if word else b""
        cdef const char* first = text
        slot.start, slot.size = <uint32_t>arena.size(), <uint32_t>len(text)
        arena.insert(arena.end(), first, first + len(text))
        return 0

    cdef int forget(self) except -1:
        cdef Slot free
        free.key = free.start = free.size = 0
        self.arena.clear()
        for kind in range(2):
            self.slots[kind].assign(SMALLEST, free)
            self.tables[kind].mask, self.tables[kind].used = SMALLEST - 1, 0
        return 0

    cdef int spread(self, int kind) except -1:
        """Four times the slots."""
        cdef vector[Slot] old = self.slots[kind]
        cdef Slot free
        cdef size_t place
        free.key = free.start = free.size = 0
        self.tables[kind].mask = 4 * old.size() - 1
        self.slots[kind].assign(4 * old.size(), free)
        for place in range(old.size()):
            if old[place].key:
                self.find(kind, old[place].key)[0] = old[place]
        return 0


cdef class Adder:
    """Rows of a table of vectors, found by the attribute of a word's lexeme that is its key, and added up."""
    cdef unordered_map[uint64_t, int64_t] rows
    cdef const float[:, ::1] table
    cdef attr_id_t attribute

    def __init__(self, const float[:, ::1] table, dict rows, int attribute):
        self.table, self.attribute = table, <attr_id_t>attribute
        self.rows.reserve(len(rows))
        for key, row in rows.items():
            if 0 <= row < table.shape[0]:
                self.rows[key] = row

    def add(self, Doc doc not None, double[::1] total not None):
        """Add the vectors of the words to `total`; returns how many have one."""
        if total.shape[0] != self.table.shape[1]:
            raise ValueError("the total is not as wide as the table")
        cdef const TokenC* tokens = doc.c
        cdef int size = doc.length
        cdef int found
        with nogil:
            found = self.walk(tokens, size, total)
        return found

    cdef int walk(self, const TokenC* tokens, int size, double[::1] total) noexcept nogil:
        cdef int place, found = 0
        cdef Py_ssize_t column
        cdef const float* row
        cdef unordered_map[uint64_t, int64_t].iterator entry
        for place in range(size):
            entry = self.rows.find(Lexeme.get_struct_attr(tokens[place].lex, self.attribute))
            if entry == self.rows.end():
                continue
            row = &self.table[dereference(entry).second, 0]
            for column in range(total.shape[0]):
                total[column] += row[column]
            found += 1
        return found
