//! A writer of pickles for checkpoints (protocol 2).

use serde_json::Value;

use super::opcode;

/// Writes the pickle of a checkpoint from start to end.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins a pickle that holds one dictionary.
    pub(super) fn new() -> Self {
        // Protocol 2; an empty dictionary; a mark, which its entries follow.
        Self {
            bytes: vec![opcode::PROTO, 2, opcode::EMPTY_DICT, opcode::MARK],
        }
    }

    /// Ends the dictionary and the pickle.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend([opcode::SETITEMS, opcode::STOP]);
        self.bytes
    }

    /// Begins an entry of the open dictionary; its value must follow.
    pub(super) fn key(&mut self, key: &str) {
        self.text(key);
    }

    /// Writes a plain value.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes.push(opcode::NONE),
            Value::Bool(value) => self.bytes.push(if *value {
                opcode::NEWTRUE
            } else {
                opcode::NEWFALSE
            }),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => self.whole(whole),
                None => {
                    self.bytes.push(opcode::BINFLOAT);
                    self.bytes
                        .extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
                }
            },
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.bytes.extend([opcode::EMPTY_LIST, opcode::MARK]);
                items.iter().for_each(|item| self.value(item));
                self.bytes.push(opcode::APPENDS);
            }
            Value::Object(entries) => {
                self.bytes.extend([opcode::EMPTY_DICT, opcode::MARK]);
                for (key, value) in entries {
                    self.key(key);
                    self.value(value);
                }
                self.bytes.push(opcode::SETITEMS);
            }
        }
    }

    /// Begins an ordered dictionary, the type of a state dict; entries and
    /// [`end_ordered`](Self::end_ordered) must follow.
    pub(super) fn begin_ordered(&mut self) {
        self.ordered();
        self.bytes.push(opcode::MARK);
    }

    /// Ends an ordered dictionary.
    pub(super) fn end_ordered(&mut self) {
        self.bytes.push(opcode::SETITEMS);
    }

    /// Writes a contiguous tensor of f32 that is a whole storage: a call of
    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`.
    pub(super) fn tensor(&mut self, storage: usize, shape: &[usize]) {
        let count: usize = shape.iter().product();
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.push(opcode::MARK);
        // The storage, named by a tuple.
        self.bytes.push(opcode::MARK);
        self.text("storage");
        self.global("torch", "FloatStorage");
        self.text(&storage.to_string());
        self.text("cpu");
        self.size(count);
        self.bytes.extend([opcode::TUPLE, opcode::BINPERSID]);
        self.bytes.extend([opcode::BININT1, 0]);
        self.sizes(shape.iter().copied());
        let mut stride = count;
        self.sizes(shape.iter().map(|&size| {
            stride /= size;
            stride
        }));
        self.bytes.push(opcode::NEWFALSE);
        self.ordered();
        self.bytes.extend([opcode::TUPLE, opcode::REDUCE]);
    }

    fn ordered(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend([opcode::EMPTY_TUPLE, opcode::REDUCE]);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.push(opcode::GLOBAL);
        self.bytes.extend(format!("{module}\n{name}\n").as_bytes());
    }

    /// Writes a tuple of sizes.
    fn sizes(&mut self, sizes: impl Iterator<Item = usize>) {
        self.bytes.push(opcode::MARK);
        sizes.for_each(|size| self.size(size));
        self.bytes.push(opcode::TUPLE);
    }

    fn size(&mut self, size: usize) {
        self.whole(i64::try_from(size).expect("a tensor in memory has fewer than 2^63 elements"));
    }

    fn whole(&mut self, number: i64) {
        if let Ok(small) = i32::try_from(number) {
            self.bytes.push(opcode::BININT);
            self.bytes.extend(small.to_le_bytes());
        } else {
            self.bytes.extend([opcode::LONG1, 8]);
            self.bytes.extend(number.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        let size = u32::try_from(text.len()).expect("names and choices are short");
        self.bytes.push(opcode::BINUNICODE);
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::Pickle;
    use super::super::pickle_value::Value as Read;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new();
        writer.key("config");
        writer.value(&serde_json::json!({"a": [1, -1, 5_000_000_000_i64], "b": null, "c": 0.5}));
        writer.key("flag");
        writer.value(&serde_json::json!(true));
        let pickle = Pickle::read(&writer.finish()).unwrap();
        let config = pickle.entry(pickle.root(), "config").unwrap();
        let at = |key| pickle.value(pickle.entry(config, key).unwrap());
        let Read::Sequence(items) = at("a") else {
            panic!("not a list")
        };
        let items: Vec<&Read> = items.iter().map(|&id| pickle.value(id)).collect();
        assert_eq!(
            items,
            [&Read::Int(1), &Read::Int(-1), &Read::Int(5_000_000_000)]
        );
        assert_eq!((at("b"), at("c")), (&Read::None, &Read::Float(0.5)));
        let flag = pickle.entry(pickle.root(), "flag").unwrap();
        assert_eq!(pickle.value(flag), &Read::Bool(true));
    }
}
