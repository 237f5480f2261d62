//! The stack machine that runs pickles.

use std::collections::BTreeMap;

use super::opcode;
use super::pickle_value::{Id, PickleError, Value};

/// The longest name of a class or function with its module, in bytes.
const LONGEST_NAME: usize = 250;

/// Runs a pickle. Returns the table of its values and the number of its result.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Value>, Id), PickleError> {
    let mut machine = Machine {
        input: Input { bytes, at: 0 },
        ..Machine::default()
    };
    loop {
        let offset = machine.input.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok((machine.values, root)),
            Err(reason) => return Err(PickleError { offset, reason }),
        }
    }
}

#[derive(Default)]
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| {
            format!(
                "it ends too early: {count} bytes expected, {} left",
                rest.len()
            )
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number of `size` bytes, at most 8.
    fn number(&mut self, size: u64) -> Result<u64, String> {
        let bytes = self.take(size)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or("a line without an end")?;
        self.at += end + 1;
        utf8(&rest[..end])
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("text that is not UTF-8 ({error})"))
}

#[derive(Default)]
struct Machine<'a> {
    input: Input<'a>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
}

impl Machine<'_> {
    /// Executes one operation. The last one returns the result.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let operation = self.input.number(1)? as u8;
        match operation {
            opcode::STOP => return self.pop().map(Some),
            opcode::PROTO => {
                let protocol = self.input.number(1)?;
                if protocol > 5 {
                    return Err(format!("pickle protocol {protocol}; 0 to 5 are known"));
                }
            }
            opcode::FRAME => {
                self.input.number(8)?;
            }
            opcode::MARK => self.marks.push(self.stack.len()),
            opcode::POP => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            opcode::POP_MARK => {
                self.pop_to_mark()?;
            }
            opcode::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            opcode::PUT | opcode::BINPUT | opcode::LONG_BINPUT | opcode::MEMOIZE => {
                self.memoize(operation)?
            }
            opcode::GET | opcode::BINGET | opcode::LONG_BINGET => self.recall(operation)?,
            opcode::NONE
            | opcode::NEWTRUE
            | opcode::NEWFALSE
            | opcode::INT
            | opcode::LONG
            | opcode::FLOAT
            | opcode::BININT
            | opcode::BININT1
            | opcode::BININT2
            | opcode::BINFLOAT
            | opcode::LONG1
            | opcode::LONG4 => {
                let value = self.number(operation)?;
                self.push(value)?;
            }
            opcode::UNICODE
            | opcode::BINUNICODE
            | opcode::SHORT_BINUNICODE
            | opcode::BINUNICODE8
            | opcode::STRING
            | opcode::BINSTRING
            | opcode::SHORT_BINSTRING
            | opcode::BINBYTES
            | opcode::SHORT_BINBYTES
            | opcode::BINBYTES8
            | opcode::BYTEARRAY8 => {
                let value = self.text(operation)?;
                self.push(value)?;
            }
            opcode::EMPTY_TUPLE
            | opcode::EMPTY_LIST
            | opcode::EMPTY_SET
            | opcode::TUPLE
            | opcode::LIST
            | opcode::FROZENSET
            | opcode::TUPLE1
            | opcode::TUPLE2
            | opcode::TUPLE3
            | opcode::EMPTY_DICT
            | opcode::DICT => {
                let value = self.container(operation)?;
                self.push(value)?;
            }
            opcode::APPEND
            | opcode::APPENDS
            | opcode::ADDITEMS
            | opcode::SETITEM
            | opcode::SETITEMS => self.extend(operation)?,
            opcode::GLOBAL
            | opcode::STACK_GLOBAL
            | opcode::PERSID
            | opcode::BINPERSID
            | opcode::REDUCE
            | opcode::BUILD
            | opcode::INST
            | opcode::OBJ
            | opcode::NEWOBJ
            | opcode::NEWOBJ_EX => {
                self.object(operation)?;
            }
            other => return Err(format!("unknown operation 0x{other:02x}")),
        }
        Ok(None)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        let id = u32::try_from(self.values.len()).map_err(|_| "too many values".to_string())?;
        self.values.push(value);
        self.stack.push(Id(id));
        Ok(())
    }

    fn top(&self) -> Result<Id, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(bottom..).and_then(<[Id]>::last);
        top.copied()
            .ok_or_else(|| "an operation without its values".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("an operation without its mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    fn memoize(&mut self, operation: u8) -> Result<(), String> {
        let key = match operation {
            opcode::PUT => parse(self.input.line()?)?,
            opcode::BINPUT => self.input.number(1)?,
            opcode::LONG_BINPUT => self.input.number(4)?,
            _ => self.memo.len() as u64,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<(), String> {
        let key = match operation {
            opcode::GET => parse(self.input.line()?)?,
            opcode::BINGET => self.input.number(1)?,
            _ => self.input.number(4)?,
        };
        let id = self
            .memo
            .get(&key)
            .ok_or_else(|| format!("no remembered value {key}"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn number(&mut self, operation: u8) -> Result<Value, String> {
        let input = &mut self.input;
        Ok(match operation {
            opcode::NONE => Value::None,
            opcode::NEWTRUE => Value::Bool(true),
            opcode::NEWFALSE => Value::Bool(false),
            opcode::INT => match input.line()? {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                line => Value::Int(parse(line)?),
            },
            opcode::LONG => Value::Int(parse(input.line()?.trim_end_matches('L'))?),
            opcode::FLOAT => Value::Float(parse(input.line()?)?),
            opcode::BININT => Value::Int((input.number(4)? as u32 as i32).into()),
            opcode::BININT1 => Value::Int(input.number(1)? as i64),
            opcode::BININT2 => Value::Int(input.number(2)? as i64),
            // This is the only big-endian number of the format.
            opcode::BINFLOAT => Value::Float(f64::from_bits(input.number(8)?.swap_bytes())),
            _ => {
                let size = input.number(if operation == opcode::LONG1 { 1 } else { 4 })?;
                let bytes = input.take(size)?;
                wide_integer(bytes)
            }
        })
    }

    fn text(&mut self, operation: u8) -> Result<Value, String> {
        let input = &mut self.input;
        let size = match operation {
            opcode::UNICODE => return Ok(Value::Text(input.line()?.into())),
            opcode::STRING => {
                let line = input.line()?;
                return Ok(Value::Text(line.trim_matches(['\'', '"']).into()));
            }
            opcode::SHORT_BINUNICODE | opcode::SHORT_BINSTRING | opcode::SHORT_BINBYTES => {
                input.number(1)?
            }
            opcode::BINUNICODE | opcode::BINSTRING | opcode::BINBYTES => input.number(4)?,
            _ => input.number(8)?,
        };
        let bytes = input.take(size)?;
        Ok(match operation {
            opcode::BINUNICODE | opcode::SHORT_BINUNICODE | opcode::BINUNICODE8 => {
                Value::Text(utf8(bytes)?.into())
            }
            // Byte strings of Python 2 usually are text.
            opcode::SHORT_BINSTRING | opcode::BINSTRING => {
                utf8(bytes).map_or(Value::Other("bytes"), |text| Value::Text(text.into()))
            }
            _ => Value::Other("bytes"),
        })
    }

    fn container(&mut self, operation: u8) -> Result<Value, String> {
        Ok(match operation {
            opcode::EMPTY_TUPLE | opcode::EMPTY_LIST | opcode::EMPTY_SET => {
                Value::Sequence(Vec::new())
            }
            opcode::TUPLE | opcode::LIST | opcode::FROZENSET => {
                Value::Sequence(self.pop_to_mark()?)
            }
            opcode::TUPLE1 | opcode::TUPLE2 | opcode::TUPLE3 => {
                let count = usize::from(operation - opcode::TUPLE1 + 1);
                let mut items = (0..count)
                    .map(|_| self.pop())
                    .collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Value::Sequence(items)
            }
            opcode::EMPTY_DICT => Value::Dict(Vec::new()),
            _ => Value::Dict(pairs(self.pop_to_mark()?)?),
        })
    }

    /// Adds values to the container below them.
    fn extend(&mut self, operation: u8) -> Result<(), String> {
        let items = match operation {
            opcode::APPEND => vec![self.pop()?],
            opcode::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.pop_to_mark()?,
        };
        let keyed = matches!(operation, opcode::SETITEM | opcode::SETITEMS);
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            Value::Dict(dict) if keyed => dict.extend(pairs(items)?),
            Value::Sequence(list) if !keyed => list.extend(items),
            // An object of a class derived from a list or dictionary. No configuration needs its items.
            Value::Object { .. } => {}
            _ => return Err("items for a value that holds none".into()),
        }
        Ok(())
    }

    fn object(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            opcode::GLOBAL | opcode::INST => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(global(module, name)?)?;
                if operation == opcode::INST {
                    let callable = self.pop()?;
                    let arguments = self.pop_to_mark()?;
                    self.call_with(callable, arguments)?;
                }
                Ok(())
            }
            opcode::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.value(module), self.value(name)) {
                    (Value::Text(module), Value::Text(name)) => {
                        let global = global(module, name)?;
                        self.push(global)
                    }
                    _ => Err("the name of a class is not text".into()),
                }
            }
            opcode::PERSID => {
                self.input.line()?;
                self.push(Value::Other("a storage"))
            }
            opcode::BINPERSID => {
                self.pop()?;
                self.push(Value::Other("a storage"))
            }
            opcode::BUILD => self.build(),
            opcode::OBJ => {
                let mut parts = self.pop_to_mark()?;
                if parts.is_empty() {
                    return Err("an object without a class".into());
                }
                let callable = parts.remove(0);
                self.call_with(callable, parts)
            }
            _ => {
                if operation == opcode::NEWOBJ_EX {
                    // Drop the keyword arguments: configurations have none.
                    self.pop()?;
                }
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)
            }
        }
    }

    fn call_with(&mut self, callable: Id, arguments: Vec<Id>) -> Result<(), String> {
        self.push(Value::Sequence(arguments))?;
        let arguments = self.pop()?;
        self.call(callable, arguments)
    }

    fn call(&mut self, callable: Id, arguments: Id) -> Result<(), String> {
        let Value::Sequence(given) = self.value(arguments) else {
            return Err("the arguments of a call are not a tuple".into());
        };
        let dictionary = matches!(
            self.value(callable),
            Value::Global(name)
                if matches!(name.as_str(), "collections.OrderedDict" | "collections.defaultdict")
        );
        if dictionary && given.is_empty() {
            return self.push(Value::Dict(Vec::new()));
        }
        self.push(Value::Object {
            callable,
            arguments,
            state: None,
        })
    }

    fn build(&mut self) -> Result<(), String> {
        let new = self.pop()?;
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            Value::Object { state, .. } => *state = Some(new),
            // Attributes of a dictionary, such as the versions in a state dict, are not needed.
            Value::Dict(_) => {}
            _ => return Err("a state for a value that has none".into()),
        }
        Ok(())
    }
}

/// A class or function. A few bytes can name one again and again by texts that are far longer, so the
/// names are bounded.
fn global(module: &str, name: &str) -> Result<Value, String> {
    let length = module.len() + name.len();
    if length > LONGEST_NAME {
        return Err(format!(
            "the name of a class has {length} bytes, more than the {LONGEST_NAME} of any"
        ));
    }
    Ok(Value::Global(format!("{module}.{name}")))
}

fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a key without a value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| {
        let start: String = text.chars().take(20).collect();
        format!("\"{start}\" is not a number")
    })
}

/// A whole number in two's complement, the lowest byte first.
fn wide_integer(bytes: &[u8]) -> Value {
    let Some(&last) = bytes.last() else {
        return Value::Int(0);
    };
    if bytes.len() > 8 {
        return Value::Other("a whole number of more than 64 bits");
    }
    let sign = if last & 0x80 == 0 { 0 } else { -1 };
    Value::Int(
        bytes
            .iter()
            .rev()
            .fold(sign, |number, &byte| number << 8 | i64::from(byte)),
    )
}
