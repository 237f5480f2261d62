//! The hub's client against a small hub on the loopback interface.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::hub::HubSettings;
use super::inputs::Places;
use super::{ReadOptions, Source, SourceError, SourceRecord, read_from};
use crate::progress::Silent;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves a dataset's list of files and the files, and notes what it was asked for.
struct Hub {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start(files: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound port"));
        let files: HashMap<String, String> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, seen) = (files.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &files, &seen));
            }
        });
        Self { endpoint, requests }
    }

    fn count(&self, part: &str) -> usize {
        self.requests
            .lock()
            .expect("no server thread panicked")
            .iter()
            .filter(|request| request.contains(part))
            .count()
    }
}

fn serve(mut stream: TcpStream, files: &HashMap<String, String>, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let mut request = String::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            request.push_str(&line);
            line.clear();
        }
        if request.is_empty() {
            return;
        }
        let answer = answer(&request, files);
        seen.lock()
            .expect("no server thread panicked")
            .push(request);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(request: &str, files: &HashMap<String, String>) -> String {
    let path = request.split(' ').nth(1).unwrap_or("");
    if path == "/api/datasets/owner/name/revision/main" {
        let mut names: Vec<_> = files
            .keys()
            .map(|name| format!("{{\"rfilename\": \"{name}\"}}"))
            .collect();
        names.sort();
        let body = format!(
            "{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}",
            names.join(", ")
        );
        return format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let file = path
        .strip_prefix("/datasets/owner/name/resolve/main/")
        .and_then(|name| files.get(name));
    let Some(file) = file else {
        return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
    };
    let range = request
        .to_lowercase()
        .split("range: bytes=")
        .nth(1)
        .map(|range| range.lines().next().unwrap_or("").to_owned());
    let (start, end) = range
        .as_deref()
        .and_then(|range| range.split_once('-'))
        .unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let end: usize = end
        .parse()
        .map_or(file.len(), |last: usize| (last + 1).min(file.len()));
    let body = &file[start..end];
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n\
         ETag: \"{:016x}\"\r\nX-Repo-Commit: {COMMIT}\r\n\r\n{body}",
        body.len(),
        end.saturating_sub(1),
        file.len(),
        xxhash_rust::xxh3::xxh3_64(file.as_bytes())
    )
}

fn settings(endpoint: &str, home: &Path, offline: bool) -> HubSettings {
    let home = home.to_string_lossy().into_owned();
    HubSettings::from_variables(|name| match name {
        "HF_ENDPOINT" => Some(endpoint.to_owned()),
        "HF_HOME" => Some(home.clone()),
        "HF_TOKEN" => Some("secret".to_owned()),
        "HF_HUB_OFFLINE" => offline.then(|| "1".to_owned()),
        _ => None,
    })
}

fn read(hub: HubSettings, source: &str) -> Result<(Vec<String>, Vec<SourceRecord>), SourceError> {
    let places = Places {
        cargo_home: "nowhere".into(),
        hub,
    };
    let mut texts = Vec::new();
    let sources = [source.parse::<Source>()?];
    let (records, _) = read_from(
        &places,
        &sources,
        &ReadOptions::default(),
        &Silent,
        &mut |document| {
            texts.push(document.text);
            Ok::<(), SourceError>(())
        },
    )?;
    Ok((texts, records))
}

#[test]
fn a_dataset_is_downloaded_once_and_then_read_offline() {
    let home = tempfile::tempdir().expect("temporary folder");
    let hub = Hub::start(&[
        ("README.md", "about"),
        (
            "en/train-0.jsonl",
            "{\"text\": \"one\"}\n{\"text\": \"two é\"}\n",
        ),
        ("en/train-1.jsonl", "{\"text\": \"three\"}\n"),
        ("en/test-0.jsonl", "{\"text\": \"hidden\"}\n"),
        ("de/train-0.jsonl", "{\"text\": \"eins\"}\n"),
    ]);
    let online = settings(&hub.endpoint, home.path(), false);
    let (texts, records) = read(online.clone(), "hf:owner/name:en").expect("the hub is there");
    assert_eq!(texts, ["one", "two é", "three"]);
    assert_eq!(records[0].name, "hf:owner/name/en/train-0.jsonl");
    assert_eq!(records[0].documents, 2);
    assert!(
        hub.count("uthorization: Bearer secret") > 0
            || hub.count("AUTHORIZATION: Bearer secret") > 0
    );
    assert_eq!(hub.count("test-0"), 0, "only the training split is wanted");

    let downloads = hub.count("resolve");
    assert_eq!(
        read(online, "hf:owner/name:en")
            .expect("the hub is there")
            .0,
        texts
    );
    assert_eq!(
        hub.count("resolve"),
        downloads,
        "what is there is not downloaded again"
    );

    let requests = hub.count("");
    let offline = settings(&hub.endpoint, home.path(), true);
    assert_eq!(
        read(offline.clone(), "hf:owner/name:en")
            .expect("the files are there")
            .0,
        texts
    );
    assert_eq!(hub.count(""), requests, "offline means no request");
    let message = read(offline, "hf:owner/other")
        .expect_err("never downloaded")
        .to_string();
    assert!(
        message.contains("owner/other") && message.contains("HF_HUB_OFFLINE"),
        "{message}"
    );
}

#[test]
fn what_the_hub_lacks_is_named() {
    let home = tempfile::tempdir().expect("temporary folder");
    let hub = Hub::start(&[
        ("en/a.jsonl", "{\"text\": \"one\"}"),
        ("de/a.jsonl", "{\"text\": \"eins\"}"),
    ]);
    let online = settings(&hub.endpoint, home.path(), false);
    for (source, part) in [
        ("hf:owner/name", "de, en"),
        ("hf:owner/name:fr", "de, en"),
        ("hf:owner/missing", "404"),
    ] {
        let message = read(online.clone(), source).expect_err(source).to_string();
        assert!(
            message.contains(part) && message.contains("hf:owner/"),
            "{message}"
        );
    }
    let closed = settings("http://127.0.0.1:9", home.path(), false);
    let message = read(closed, "hf:owner/name")
        .expect_err("nobody listens")
        .to_string();
    assert!(message.contains("HF_ENDPOINT"), "{message}");
}

#[test]
fn environment_variables_of_the_hub_count() {
    let from = |variables: &[(&str, &str)]| {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        format!(
            "{:?}",
            HubSettings::from_variables(|name| variables
                .get(name)
                .map(|value| (*value).to_owned()))
        )
    };
    let set = from(&[
        ("HF_HOME", "/h"),
        ("HF_ENDPOINT", "http://x/"),
        ("HF_HUB_OFFLINE", "TRUE"),
    ]);
    assert!(
        set.contains("\"/h/hub\"") && set.contains("\"http://x\"") && set.contains("offline: true"),
        "{set}"
    );
    let set = from(&[
        ("HF_HOME", "/h"),
        ("HF_HUB_CACHE", "/c"),
        ("HF_HUB_OFFLINE", "0"),
    ]);
    assert!(
        set.contains("\"/c\"") && set.contains("offline: false"),
        "{set}"
    );
}

/// A Parquet file with the columns of wikimedia/wikipedia; each row has the same word in all of them.
fn wikipedia_rows(words: &[&str]) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let schema = "message rows { OPTIONAL BYTE_ARRAY id (UTF8); OPTIONAL BYTE_ARRAY url (UTF8); \
                  OPTIONAL BYTE_ARRAY title (UTF8); OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
    let mut bytes = Vec::new();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(
        &mut bytes,
        Arc::new(schema),
        Default::default(),
    )
    .expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    for name in ["id", "url", "title", "text"] {
        let mut column = group.next_column().expect("a column").expect("a column");
        let values = words.iter().map(|word| format!("{name} of {word}"));
        let values: Vec<ByteArray> = values.map(|value| value.as_str().into()).collect();
        let levels = vec![1; values.len()];
        let written = column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None);
        written.expect("written");
        column.close().expect("written");
    }
    group.close().expect("written");
    writer.close().expect("written");
    bytes
}

#[test]
fn wikipedia_on_the_hub() {
    let home = tempfile::tempdir().expect("temporary folder");
    let folder = home.path().join("hub/datasets--wikimedia--wikipedia");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    };
    let snapshot = |name: &str| format!("snapshots/{COMMIT}/{name}");
    write("refs/main", COMMIT.as_bytes());
    write(
        &snapshot("README.md"),
        b"---\nlanguage:\n- ab\n- en\nlicense:\n- cc-by-sa-3.0\n- gfdl\nsize_categories:\n- n<1K\n\
          configs:\n- config_name: 20231101.ab\n  data_files:\n  - split: train\n    path: 20231101.ab/*\n\
          - config_name: 20231101.en\n  data_files:\n  - split: train\n    path: 20231101.en/*\n\
          dataset_info:\n- config_name: 20231101.ab\n  splits:\n  - name: train\n---\n# Dataset Card\n",
    );
    for (name, words) in [
        ("20231101.ab/train-00000-of-00001.parquet", &["ab"][..]),
        (
            "20231101.en/train-00001-of-00002.parquet",
            &["April", "August"],
        ),
        ("20231101.en/train-00000-of-00002.parquet", &["Anarchism"]),
    ] {
        write(&snapshot(name), &wikipedia_rows(words));
    }
    let offline = settings("http://127.0.0.1:9", home.path(), true);
    let (texts, records) =
        read(offline.clone(), "hf:wikimedia/wikipedia:20231101.en").expect("the files are there");
    assert_eq!(
        texts,
        ["text of Anarchism", "text of April", "text of August"]
    );
    assert_eq!(
        records[0].name,
        "hf:wikimedia/wikipedia/20231101.en/train-00000-of-00002.parquet"
    );
    let message = read(offline, "hf:wikimedia/wikipedia")
        .expect_err("which one?")
        .to_string();
    assert!(message.contains("20231101.ab, 20231101.en"), "{message}");
}

#[test]
fn a_card_on_the_hub_is_read() {
    let home = tempfile::tempdir().expect("temporary folder");
    let hub = Hub::start(&[
        (
            "README.md",
            "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: \
             \"sub/*.json\"\n  - split: test\n    path: \"held/*.json\"\n---\n",
        ),
        ("sub/test-notes.json", "[{\"text\": \"one\"}]"),
        ("held/a.json", "[{\"text\": \"hidden\"}]"),
        ("other.json", "[{\"text\": \"other\"}]"),
    ]);
    let online = settings(&hub.endpoint, home.path(), false);
    let (texts, _) = read(online, "hf:owner/name").expect("the hub is there");
    assert_eq!(texts, ["one"]);
    assert_eq!(hub.count("held"), 0);
}

/// Writes a dataset into the cache, as downloads of `owner/name` leave it.
fn cached(home: &Path, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = home.join("hub/datasets--owner--name");
    let snapshot = folder.join("snapshots").join(COMMIT);
    let write = |path: std::path::PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write(folder.join("refs/main"), COMMIT);
    for (name, text) in files {
        write(snapshot.join(name), text);
    }
    snapshot
}

#[test]
fn a_part_of_a_dataset_is_not_read_as_the_whole_offline() {
    let home = tempfile::tempdir().expect("temporary folder");
    let line = "{\"text\": \"one\"}\n";
    let snapshot = cached(
        home.path(),
        &[
            ("data/train-00000-of-00003.jsonl", line),
            ("data/train-00002-of-00003.jsonl", line),
            // No other split is read, so it need not be complete.
            ("data/test-00000-of-00002.jsonl", line),
        ],
    );
    let offline = settings("http://127.0.0.1:9", home.path(), true);
    let message = read(offline.clone(), "hf:owner/name")
        .expect_err("a part is missing")
        .to_string();
    for part in [
        "hf:owner/name: 1 of 3 files",
        "the first is data/train-00001-of-00003.jsonl",
        "HF_HUB_OFFLINE",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    std::fs::write(snapshot.join("data/train-00001-of-00003.jsonl"), line).expect("written");
    let (texts, _) = read(offline, "hf:owner/name").expect("all parts are there");
    assert_eq!(texts, ["one"; 3]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_cache_that_leads_nowhere_is_named() {
    let home = tempfile::tempdir().expect("temporary folder");
    let snapshot = cached(home.path(), &[("train.jsonl", "{\"text\": \"one\"}\n")]);
    let link = |name: &str| {
        std::os::unix::fs::symlink("../../blobs/gone", snapshot.join(name)).expect("linked");
    };
    let offline = settings("http://127.0.0.1:9", home.path(), true);
    link("test.jsonl");
    let (texts, _) = read(offline.clone(), "hf:owner/name").expect("the test split is not read");
    assert_eq!(texts, ["one"]);
    link("train2.jsonl");
    let message = read(offline, "hf:owner/name")
        .expect_err("a file is missing")
        .to_string();
    assert!(message.contains("the first is train2.jsonl"), "{message}");
}

#[test]
fn a_damaged_card_is_named() {
    let home = tempfile::tempdir().expect("temporary folder");
    cached(
        home.path(),
        &[
            (
                "README.md",
                "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: \
                 train.jsonl\n bad: [\n---\n",
            ),
            ("train.jsonl", "{\"text\": \"one\"}\n"),
            ("x/t.jsonl", "{\"text\": \"held out\"}\n"),
        ],
    );
    let offline = settings("http://127.0.0.1:9", home.path(), true);
    let message = read(offline, "hf:owner/name")
        .expect_err("the card cannot be read")
        .to_string();
    assert!(message.contains("README.md:7: not YAML"), "{message}");
}
