//! The values that a pickle is made of.

/// The number of a value in its [`Pickle`](super::pickle::Pickle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) u32);

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: its module and name with a dot between them.
    Global(String),
    /// A call of a class or function, with the state that was given to its result.
    Object {
        callable: Id,
        arguments: Id,
        state: Option<Id>,
    },
    /// A value that no configuration needs: bytes, integers of more than 64 bits, storages.
    Other(&'static str),
}

/// A problem in a pickle and its place.
#[derive(Debug, PartialEq)]
pub(super) struct PickleError {
    /// The byte at which the operation began.
    pub offset: usize,
    pub reason: String,
}
