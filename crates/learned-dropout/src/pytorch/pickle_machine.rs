//! The stack machine whose programs pickles are.

use std::collections::BTreeMap;

use super::pickle::{Id, PickleError, Value};

/// Runs a pickle; gives the table of its values and the number of its result.
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
    /// Executes one operation; gives the result of the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let operation = self.input.number(1)? as u8;
        match operation {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let protocol = self.input.number(1)?;
                if protocol > 5 {
                    return Err(format!("pickle protocol {protocol}; 0 to 5 are known"));
                }
            }
            0x95 => {
                self.input.number(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'p' | b'q' | b'r' | 0x94 => self.memoize(operation)?,
            b'g' | b'h' | b'j' => self.recall(operation)?,
            b'N' | 0x88 | 0x89 | b'I' | b'L' | b'F' | b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => {
                let value = self.number(operation)?;
                self.push(value)?;
            }
            b'V' | b'X' | 0x8c | 0x8d | b'S' | b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => {
                let value = self.text(operation)?;
                self.push(value)?;
            }
            b')' | b']' | 0x8f | b't' | b'l' | 0x91 | 0x85..=0x87 | b'}' | b'd' => {
                let value = self.container(operation)?;
                self.push(value)?;
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.extend(operation)?,
            b'c' | 0x93 | b'P' | b'Q' | b'R' | b'b' | b'i' | b'o' | 0x81 | 0x92 => {
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
            b'p' => parse(self.input.line()?)?,
            b'q' => self.input.number(1)?,
            b'r' => self.input.number(4)?,
            _ => self.memo.len() as u64,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<(), String> {
        let key = match operation {
            b'g' => parse(self.input.line()?)?,
            b'h' => self.input.number(1)?,
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
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => match input.line()? {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                line => Value::Int(parse(line)?),
            },
            b'L' => Value::Int(parse(input.line()?.trim_end_matches('L'))?),
            b'F' => Value::Float(parse(input.line()?)?),
            b'J' => Value::Int((input.number(4)? as u32 as i32).into()),
            b'K' => Value::Int(input.number(1)? as i64),
            b'M' => Value::Int(input.number(2)? as i64),
            // The one number of the format that is big-endian.
            b'G' => Value::Float(f64::from_bits(input.number(8)?.swap_bytes())),
            _ => {
                let size = input.number(if operation == 0x8a { 1 } else { 4 })?;
                let bytes = input.take(size)?;
                wide_integer(bytes)
            }
        })
    }

    fn text(&mut self, operation: u8) -> Result<Value, String> {
        let input = &mut self.input;
        let size = match operation {
            b'V' => return Ok(Value::Text(input.line()?.into())),
            b'S' => {
                let line = input.line()?;
                return Ok(Value::Text(line.trim_matches(['\'', '"']).into()));
            }
            0x8c | b'U' | b'C' => input.number(1)?,
            b'X' | b'T' | b'B' => input.number(4)?,
            _ => input.number(8)?,
        };
        let bytes = input.take(size)?;
        Ok(match operation {
            b'X' | 0x8c | 0x8d => Value::Text(utf8(bytes)?.into()),
            // Byte strings of Python 2 are text more often than not.
            b'U' | b'T' => {
                utf8(bytes).map_or(Value::Other("bytes"), |text| Value::Text(text.into()))
            }
            _ => Value::Other("bytes"),
        })
    }

    fn container(&mut self, operation: u8) -> Result<Value, String> {
        Ok(match operation {
            b')' | b']' | 0x8f => Value::Sequence(Vec::new()),
            b't' | b'l' | 0x91 => Value::Sequence(self.pop_to_mark()?),
            0x85..=0x87 => {
                let count = usize::from(operation - 0x84);
                let mut items = (0..count)
                    .map(|_| self.pop())
                    .collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Value::Sequence(items)
            }
            b'}' => Value::Dict(Vec::new()),
            _ => Value::Dict(pairs(self.pop_to_mark()?)?),
        })
    }

    /// Adds values to the container below them.
    fn extend(&mut self, operation: u8) -> Result<(), String> {
        let items = match operation {
            b'a' => vec![self.pop()?],
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.pop_to_mark()?,
        };
        let keyed = matches!(operation, b's' | b'u');
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            Value::Dict(dict) if keyed => dict.extend(pairs(items)?),
            Value::Sequence(list) if !keyed => list.extend(items),
            // A list or dictionary of a class of its own; no configuration needs its items.
            Value::Object { .. } => {}
            _ => return Err("items for a value that holds none".into()),
        }
        Ok(())
    }

    fn object(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            b'c' | b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Value::Global(format!("{module}.{name}")))?;
                if operation == b'i' {
                    let callable = self.pop()?;
                    let arguments = self.pop_to_mark()?;
                    self.call_with(callable, arguments)?;
                }
                Ok(())
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.value(module), self.value(name)) {
                    (Value::Text(module), Value::Text(name)) => {
                        let global = Value::Global(format!("{module}.{name}"));
                        self.push(global)
                    }
                    _ => Err("the name of a class is not text".into()),
                }
            }
            b'P' => {
                self.input.line()?;
                self.push(Value::Other("a storage"))
            }
            b'Q' => {
                self.pop()?;
                self.push(Value::Other("a storage"))
            }
            b'b' => self.build(),
            b'o' => {
                let mut parts = self.pop_to_mark()?;
                if parts.is_empty() {
                    return Err("an object without a class".into());
                }
                let callable = parts.remove(0);
                self.call_with(callable, parts)
            }
            _ => {
                if operation == 0x92 {
                    // The keyword arguments; objects that need them are not configurations.
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
            // The attributes of a dictionary, such as the versions that a state dict carries.
            Value::Dict(_) => {}
            _ => return Err("a state for a value that has none".into()),
        }
        Ok(())
    }
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
