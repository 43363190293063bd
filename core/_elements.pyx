# cython: boundscheck=False, wraparound=False
"""Attributes of elements in XML, by the expat that Python brings, without a Python call per element.

Python's parser builds every attribute of every element as Python objects; of a day's vehicles few are wanted.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.pycapsule cimport PyCapsule_Import
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport strcmp, strlen

from defusedxml import DTDForbidden
from xml.parsers.expat import ExpatError
from xml.parsers.expat.errors import messages

cdef extern from *:
    """
    /* The beginning of struct PyExpat_CAPI (Include/pyexpat.h), to which CPython only appends. */
    typedef struct {
        char *magic;
        int size, major, minor, micro;
        const char *(*ErrorString)(int code);
        int (*GetErrorCode)(void *parser);
        unsigned long (*GetErrorColumnNumber)(void *parser);
        unsigned long (*GetErrorLineNumber)(void *parser);
        int (*Parse)(void *parser, const char *s, int len, int is_final);
        void *(*ParserCreate_MM)(const char *encoding, const void *memory, const char *separator);
        void (*ParserFree)(void *parser);
        void *SetCharacterDataHandler, *SetCommentHandler, *SetDefaultHandlerExpand;
        void (*SetElementHandler)(void *parser, void *start, void *end);
        void *SetNamespaceDeclHandler, *SetProcessingInstructionHandler, *SetUnknownEncodingHandler;
        void (*SetUserData)(void *parser, void *data);
        void (*SetStartDoctypeDeclHandler)(void *parser, void *start);
    } elements_capi;
    """
    ctypedef struct elements_capi:
        char *magic
        int size
        const char *ErrorString(int code)
        int GetErrorCode(void *parser)
        unsigned long GetErrorColumnNumber(void *parser)
        unsigned long GetErrorLineNumber(void *parser)
        int Parse(void *parser, const char *s, int len, int is_final)
        void *ParserCreate_MM(const char *encoding, const void *memory, const char *separator)
        void ParserFree(void *parser)
        void SetElementHandler(void *parser, void *start, void *end)
        void SetUserData(void *parser, void *data)
        void SetStartDoctypeDeclHandler(void *parser, void *start)

cdef elements_capi *expat = <elements_capi *>PyCapsule_Import("pyexpat.expat_CAPI", 0)
if strcmp(expat.magic, b"pyexpat.expat_CAPI 1.1") != 0 or expat.size < <int>sizeof(elements_capi):
    raise ImportError("this Python's pyexpat has another interface than CPython's")


cdef class Reader:
    """Collects attributes of elements of some kinds while a document is fed to it.

    Parameters
    ----------
    tags
        Kinds of elements.
    keys
        Attributes that are wanted; None for all.
    among
        Identifiers of wanted elements, those of others are passed over; None for all.
    """

    cdef void *parser
    cdef dict tags
    cdef dict keys
    cdef object among
    cdef list found
    cdef object error

    def __cinit__(self, tags, keys=None, among=None):
        self.parser = expat.ParserCreate_MM(NULL, NULL, NULL)
        if self.parser == NULL:
            raise MemoryError
        self.tags = {tag.encode(): tag for tag in tags}
        self.keys = None if keys is None else {key.encode(): key for key in keys}
        self.among, self.found, self.error = among, [], None
        expat.SetUserData(self.parser, <void *>self)
        expat.SetElementHandler(self.parser, <void *>start, NULL)
        expat.SetStartDoctypeDeclHandler(self.parser, <void *>declared)

    def __dealloc__(self):
        if self.parser != NULL:
            expat.ParserFree(self.parser)

    def feed(self, bytes chunk):
        """Parse a chunk; return tag and attributes of each wanted element that begins in it.

        An empty chunk is the end. Raises ExpatError if the document is not well-formed, and DTDForbidden if it
        declares a document type.
        """
        if len(chunk) > 1 << 30:
            raise ValueError("the chunk has more than 1 GB")
        cdef int parsed = expat.Parse(self.parser, PyBytes_AS_STRING(chunk), <int>len(chunk), len(chunk) == 0)
        if self.error is not None:
            raise self.error
        if not parsed:
            code = expat.GetErrorCode(self.parser)
            line, column = expat.GetErrorLineNumber(self.parser), expat.GetErrorColumnNumber(self.parser)
            raise ExpatError(f"{messages.get(code, 'error')}: line {line}, column {column}")
        found, self.found = self.found, []
        return found


cdef void declared(void *data, const char *name, const char *system, const char *public, int has_subset) noexcept:
    reader = <Reader>data
    reader.error = DTDForbidden(text(name), None, None)


cdef void start(void *data, const char *tag, const char **given) noexcept:
    reader = <Reader>data
    if reader.error is None:
        try:
            collect(reader, tag, given)
        except BaseException as error:
            reader.error = error


cdef int collect(Reader reader, const char *tag, const char **given) except -1:
    cdef int k = 0
    cdef bytes name = tag
    kind = reader.tags.get(name)
    if kind is None:
        return 0
    if reader.among is not None:
        while given[k] != NULL and strcmp(given[k], b"id") != 0:
            k += 2
        if given[k] == NULL or text(given[k + 1]) not in reader.among:
            return 0
    k = 0
    values = {}
    while given[k] != NULL:
        name = given[k]
        key = text(given[k]) if reader.keys is None else reader.keys.get(name)
        if key is not None:
            values[key] = text(given[k + 1])
        k += 2
    reader.found.append((kind, values))
    return 0


cdef str text(const char *value):
    return PyUnicode_DecodeUTF8(value, strlen(value), NULL)
