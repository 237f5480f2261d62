//! The operations of a pickle, by the names that Python's `pickletools` gives them.
//!
//! Numbers and lengths are little-endian unless noted otherwise.

/// Remembers the height of the stack.
pub(super) const MARK: u8 = b'(';
/// Ends the pickle; the top of the stack is its value.
pub(super) const STOP: u8 = b'.';
/// Drops the top, or an open mark.
pub(super) const POP: u8 = b'0';
/// Drops everything down to the mark.
pub(super) const POP_MARK: u8 = b'1';
/// Pushes a copy of the top.
pub(super) const DUP: u8 = b'2';
/// A number with a fraction, as a line of text.
pub(super) const FLOAT: u8 = b'F';
/// A number with a fraction, 8 bytes, big-endian.
pub(super) const BINFLOAT: u8 = b'G';
/// A whole number or a truth value, as a line of text.
pub(super) const INT: u8 = b'I';
/// A whole number, 4 bytes, signed.
pub(super) const BININT: u8 = b'J';
/// A whole number, 1 byte.
pub(super) const BININT1: u8 = b'K';
/// A whole number of any size, as a line of text.
pub(super) const LONG: u8 = b'L';
/// A whole number, 2 bytes.
pub(super) const BININT2: u8 = b'M';
/// `None`.
pub(super) const NONE: u8 = b'N';
/// An object outside of the pickle, named by a line of text.
pub(super) const PERSID: u8 = b'P';
/// An object outside of the pickle, named by the top.
pub(super) const BINPERSID: u8 = b'Q';
/// Calls a callable with a tuple of arguments.
pub(super) const REDUCE: u8 = b'R';
/// A byte string of Python 2, as a quoted line of text.
pub(super) const STRING: u8 = b'S';
/// A byte string of Python 2, 4 bytes of length.
pub(super) const BINSTRING: u8 = b'T';
/// A byte string of Python 2, 1 byte of length.
pub(super) const SHORT_BINSTRING: u8 = b'U';
/// Text, as a line.
pub(super) const UNICODE: u8 = b'V';
/// Text, 4 bytes of length.
pub(super) const BINUNICODE: u8 = b'X';
/// Bytes, 4 bytes of length.
pub(super) const BINBYTES: u8 = b'B';
/// Bytes, 1 byte of length.
pub(super) const SHORT_BINBYTES: u8 = b'C';
/// Adds the top to the list below it.
pub(super) const APPEND: u8 = b'a';
/// Gives the top to the object below it as its state.
pub(super) const BUILD: u8 = b'b';
/// A class or function: two lines of text, its module and its name.
pub(super) const GLOBAL: u8 = b'c';
/// A dictionary of everything down to the mark.
pub(super) const DICT: u8 = b'd';
/// Adds everything down to the mark to the list below it.
pub(super) const APPENDS: u8 = b'e';
/// Pushes a memorized value; its number is a line of text.
pub(super) const GET: u8 = b'g';
/// Pushes a memorized value; its number is 1 byte.
pub(super) const BINGET: u8 = b'h';
/// Like `GLOBAL`, then a call with everything down to the mark.
pub(super) const INST: u8 = b'i';
/// Pushes a memorized value; its number is 4 bytes.
pub(super) const LONG_BINGET: u8 = b'j';
/// A list of everything down to the mark.
pub(super) const LIST: u8 = b'l';
/// Calls the first value after the mark with the others.
pub(super) const OBJ: u8 = b'o';
/// Memorizes the top; its number is a line of text.
pub(super) const PUT: u8 = b'p';
/// Memorizes the top; its number is 1 byte.
pub(super) const BINPUT: u8 = b'q';
/// Memorizes the top; its number is 4 bytes.
pub(super) const LONG_BINPUT: u8 = b'r';
/// Adds a key and a value to the dictionary below them.
pub(super) const SETITEM: u8 = b's';
/// A tuple of everything down to the mark.
pub(super) const TUPLE: u8 = b't';
/// Adds keys and values down to the mark to the dictionary below.
pub(super) const SETITEMS: u8 = b'u';
/// An empty tuple.
pub(super) const EMPTY_TUPLE: u8 = b')';
/// An empty list.
pub(super) const EMPTY_LIST: u8 = b']';
/// An empty dictionary.
pub(super) const EMPTY_DICT: u8 = b'}';
/// The protocol's number, 1 byte.
pub(super) const PROTO: u8 = 0x80;
/// Makes an object of a class with a tuple of arguments.
pub(super) const NEWOBJ: u8 = 0x81;
/// A tuple of one value.
pub(super) const TUPLE1: u8 = 0x85;
/// A tuple of two values.
pub(super) const TUPLE2: u8 = 0x86;
/// A tuple of three values.
pub(super) const TUPLE3: u8 = 0x87;
/// `True`.
pub(super) const NEWTRUE: u8 = 0x88;
/// `False`.
pub(super) const NEWFALSE: u8 = 0x89;
/// A whole number, 1 byte of length.
pub(super) const LONG1: u8 = 0x8a;
/// A whole number, 4 bytes of length.
pub(super) const LONG4: u8 = 0x8b;
/// Text, 1 byte of length.
pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
/// Text, 8 bytes of length.
pub(super) const BINUNICODE8: u8 = 0x8d;
/// Bytes, 8 bytes of length.
pub(super) const BINBYTES8: u8 = 0x8e;
/// An empty set.
pub(super) const EMPTY_SET: u8 = 0x8f;
/// Adds everything down to the mark to the set below.
pub(super) const ADDITEMS: u8 = 0x90;
/// A set of everything down to the mark.
pub(super) const FROZENSET: u8 = 0x91;
/// Like `NEWOBJ`, with a dictionary of keyword arguments.
pub(super) const NEWOBJ_EX: u8 = 0x92;
/// A class or function whose module and name are on the stack.
pub(super) const STACK_GLOBAL: u8 = 0x93;
/// Memorizes the top under the next number.
pub(super) const MEMOIZE: u8 = 0x94;
/// The length of what follows, 8 bytes.
pub(super) const FRAME: u8 = 0x95;
/// Bytes that can change, 8 bytes of length.
pub(super) const BYTEARRAY8: u8 = 0x96;
