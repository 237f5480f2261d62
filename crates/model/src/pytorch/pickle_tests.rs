use super::*;

/// A pickle's root as text, for comparing with what Python prints.
fn show(pickle: &Pickle, id: Id) -> String {
    let list = |ids: &[Id]| {
        ids.iter()
            .map(|&id| show(pickle, id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match pickle.value(id) {
        Value::None => "None".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Sequence(items) => format!("[{}]", list(items)),
        Value::Dict(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|&(key, value)| format!("{}: {}", show(pickle, key), show(pickle, value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Global(name) => name.clone(),
        Value::Object {
            callable,
            arguments,
            state,
        } => {
            let state = state.map_or(String::new(), |state| {
                format!(" with {}", show(pickle, state))
            });
            format!(
                "{}{}{state}",
                show(pickle, *callable),
                show(pickle, *arguments)
            )
        }
        Value::Other(what) => (*what).into(),
    }
}

fn read(bytes: &[u8]) -> String {
    let pickle = Pickle::read(bytes).unwrap();
    show(&pickle, pickle.root())
}

/// `pickle.dumps({'a': [1, -2, 300, 70000, 2**40, True, None, 1.5, 'ü'], 'b': (1, 2)}, protocol)`
/// of Python 3.11.
#[test]
fn every_protocol_gives_the_same_values() {
    let protocols: [&[u8]; 4] = [
        b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naI300\naI70000\naL1099511627776L\naI01\naNaF1.5\naV\xc3\xbc\np3\nasVb\np4\n(I1\nI2\ntp5\ns.",
        b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x88NG?\xf8\x00\x00\x00\x00\x00\x00X\x02\x00\x00\x00\xc3\xbcq\x03eX\x01\x00\x00\x00bq\x04K\x01K\x02\x86q\x05u.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x88NG?\xf8\x00\x00\x00\x00\x00\x00X\x02\x00\x00\x00\xc3\xbcq\x03eX\x01\x00\x00\x00bq\x04K\x01K\x02\x86q\x05u.",
        b"\x80\x04\x950\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x88NG?\xf8\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xbc\x94e\x8c\x01b\x94K\x01K\x02\x86\x94u.",
    ];
    for pickle in protocols {
        let expected =
            "{\"a\": [1, -2, 300, 70000, 1099511627776, true, None, 1.5, \"ü\"], \"b\": [1, 2]}";
        assert_eq!(read(pickle), expected);
    }
}

#[test]
fn classes_and_objects_are_kept_as_what_they_are() {
    // An enum member: a call of its class with its value.
    assert_eq!(
        read(b"\x80\x02cshop\nColour\nX\x03\x00\x00\x00red\x85R."),
        "shop.Colour[\"red\"]"
    );
    assert_eq!(
        read(b"\x80\x04\x8c\x04shop\x8c\x06Colour\x93\x8c\x03red\x85R."),
        "shop.Colour[\"red\"]"
    );
    // An object: a new one of its class, and its attributes.
    assert_eq!(
        read(b"\x80\x02cshop\nCart\n)\x81}X\x01\x00\x00\x00nK\x03sb."),
        "shop.Cart[] with {\"n\": 3}"
    );
    // A dictionary of the standard library is a dictionary, with entries that are set later.
    assert_eq!(
        read(b"\x80\x02ccollections\nOrderedDict\n)R(K\x01K\x02u}b."),
        "{1: 2}"
    );
    assert_eq!(read(b"\x80\x02(X\x07\x00\x00\x00storagetQ."), "a storage");
}

#[test]
fn a_shared_value_is_one_value() {
    // The list is remembered while it is empty and filled afterwards.
    assert_eq!(read(b"\x80\x02]q\x00K\x07ah\x00\x86."), "[[7], [7]]");
    // A list that contains itself does not make the reader loop for ever.
    assert!(Pickle::read(b"\x80\x02]q\x00h\x00a.").is_ok());
}

#[test]
fn wide_integers() {
    assert_eq!(read(b"\x8a\x00."), "0");
    assert_eq!(read(b"\x8a\x01\xff."), "-1");
    assert_eq!(read(b"\x8a\x02\xff\x00."), "255");
    assert_eq!(
        read(b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."),
        i64::MIN.to_string()
    );
    assert_eq!(
        read(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."),
        "a whole number of more than 64 bits"
    );
}

#[test]
fn nonsense_is_refused_with_its_place() {
    let error = |bytes: &[u8]| Pickle::read(bytes).unwrap_err();
    assert_eq!(error(b"").offset, 0);
    assert_eq!(error(b"K\x01\xffK").offset, 2);
    assert_eq!(error(b"h\x07.").reason, "no remembered value 7");
    assert!(
        error(b"X\xff\xff\xff\xffab")
            .reason
            .contains("ends too early")
    );
    assert!(
        error(b"B\xff\xff\xff\xff")
            .reason
            .contains("ends too early")
    );
    for nonsense in [
        &b"0."[..],
        b"t.",
        b"(.",
        b"K\x01(R.",
        b"K\x01K\x02R.",
        b"}(K\x01u.",
        b"K\x01}b.",
        b"I1x\n.",
        b"\x80\x09.",
    ] {
        assert!(Pickle::read(nonsense).is_err(), "{nonsense:?}");
    }
    // Deep nesting does not use the stack.
    let mut deep = vec![b']'; 200_000];
    deep.extend(vec![b'a'; 199_999]);
    deep.push(b'.');
    assert!(Pickle::read(&deep).is_ok());
}

#[test]
fn a_long_name_is_not_repeated_without_end() {
    // Six bytes name a class by two remembered texts; a megabyte of them would fill a terabyte.
    let text = "a".repeat(1 << 20);
    let mut bytes = b"\x80\x04X\x00\x00\x10\x00".to_vec();
    bytes.extend(text.as_bytes());
    bytes.extend(b"q\x00");
    bytes.extend(b"h\x00h\x00\x930".repeat(1 << 17));
    bytes.push(b'.');
    let error = Pickle::read(&bytes).unwrap_err().reason;
    assert_eq!(
        error,
        "the name of a class has 2097152 bytes, more than the 250 of any"
    );
    // Names as PyTorch's stay.
    let usual = b"ctorch._utils\n_rebuild_tensor_v2\n.";
    assert_eq!(read(usual), "torch._utils._rebuild_tensor_v2");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2000))]
    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
        let _ = Pickle::read(&bytes);
    }

    #[test]
    fn any_operations_give_a_value_or_an_error(
        choices in proptest::collection::vec(proptest::sample::select(&b"(01N2)]}tldasueRbioq\x00h\x00K\x01\x81\x85\x86\x88\x8f\x90\x91\x92\x93\x94."[..]), 0..60),
    ) {
        let _ = Pickle::read(&choices);
    }
}
