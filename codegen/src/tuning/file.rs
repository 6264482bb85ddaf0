//! Files of records.
//!
//! A line of JSON each. A head says of the records after it what they are good for; so files may be put one behind the
//! other:
//!
//! ```text
//! {"schema":"mlc-tuning/1","target":"x86_64, 32 registers of 64 bytes"}
//! {"kernel":"91c0...","name":"conv1","steps":["order(o1, o0)","vector(o0, 16)"],"before_ns":1200,"ns":900}
//! ```
//!
//! Invariant: whatever a file holds, reading it gives records that can be read, and a sentence on each line that cannot.

use super::{Record, Tuning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const SCHEMA: &str = "mlc-tuning/1";

/// Records by target, then by the key of their kernel.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// With the number of the line each came from.
    targets: BTreeMap<String, BTreeMap<u64, (usize, Record)>>,
    /// Lines that cannot be read, and why.
    pub unread: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: String,
    target: String,
}

/// Reads a file's text; the last record of a kernel counts.
///
/// # Errors
/// If its first line is no head of such a file.
pub fn read(text: &str) -> Result<Book, String> {
    let mut book = Book::default();
    let mut target: Option<String> = None;
    let mut begun = false;
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = place + 1;
        match (serde_json::from_str::<Head>(line), &target) {
            (Ok(head), _) => {
                target = (head.schema == SCHEMA).then_some(head.target);
                if target.is_none() {
                    book.unread.push(format!("line {number} and its records are ignored: schema `{}`", head.schema));
                }
                begun = true;
            }
            (Err(_), _) if !begun => return Err("the first line is no head of a tuning file".into()),
            (Err(_), None) => {}
            (Err(_), Some(target)) => match Record::parse(line) {
                Ok(record) => {
                    book.targets.entry(target.clone()).or_default().insert(record.key, (number, record));
                }
                Err(why) => book.unread.push(format!("line {number} is ignored: {why}")),
            },
        }
    }
    if begun { Ok(book) } else { Err("it is empty".into()) }
}

impl Book {
    /// Adds a record; one that was there for the same kernel goes.
    pub fn add(&mut self, target: &str, record: Record) {
        self.targets.entry(target.into()).or_default().insert(record.key, (0, record));
    }

    /// The record of a kernel goes.
    pub fn remove(&mut self, target: &str, key: u64) {
        self.targets.get_mut(target).map(|records| records.remove(&key));
    }

    /// What is good for a target.
    pub fn tuning(&self, target: &str) -> Tuning {
        let mut tuning = Tuning::default();
        for (key, (line, record)) in self.targets.get(target).into_iter().flatten() {
            tuning.add(*key, format!("line {line}"), record.steps.clone());
        }
        tuning
    }

    /// The record of a kernel.
    pub fn find(&self, target: &str, key: u64) -> Option<&Record> {
        self.targets.get(target)?.get(&key).map(|it| &it.1)
    }

    /// Whether there are no records at all.
    pub fn is_empty(&self) -> bool {
        self.targets.values().all(BTreeMap::is_empty)
    }

    /// The number of records for a target.
    pub fn count(&self, target: &str) -> usize {
        self.targets.get(target).map_or(0, BTreeMap::len)
    }

    /// As a file: sorted, so that the same records are the same bytes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (target, records) in &self.targets {
            let head = Head { schema: SCHEMA.into(), target: target.clone() };
            text += &format!("{}\n", serde_json::to_string(&head).unwrap_or_default());
            records.values().for_each(|(_, record)| text += &format!("{}\n", record.line()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u64, steps: &[&str]) -> Record {
        let steps = steps.iter().map(|step| step.parse().unwrap()).collect();
        Record { key, name: "a `\"name\"`\n".into(), steps, before_ns: 5, ns: 3 }
    }

    #[test]
    fn files_read_back_and_may_be_joined() {
        let (mut one, mut other) = (Book::default(), Book::default());
        one.add("x", record(1, &["order(o0)", "vector(o0, 16)"]));
        one.add("x", record(u64::MAX, &[]));
        other.add("y", record(1, &["block(c0, 4)"]));
        other.add("x", record(1, &["parallel(o0, 4)"]));
        let both = read(&(one.text() + "\n" + &other.text())).unwrap();
        assert_eq!((both.count("x"), both.count("y"), both.count("z")), (2, 1, 0));
        assert_eq!(both.targets["x"][&1].1, record(1, &["parallel(o0, 4)"]), "the last one counts");
        assert_eq!(read(&both.text()).unwrap().text(), both.text());
        assert!(both.unread.is_empty());
    }

    #[test]
    fn lines_that_cannot_be_read_are_named() {
        let mut book = Book::default();
        book.add("x", record(1, &["order(o0)"]));
        let good = book.text();
        let line = good.lines().nth(1).unwrap();
        let bad = [
            "garbage".to_string(),
            "{}".into(),
            line[..line.len() / 2].into(),
            line.replace("order", "ordre"),
            line.replace("0000000000000001", "1"),
            line.replace("\"ns\":3", "\"ns\":-3"),
            line.replace("\"ns\":3", "\"ns\":3,\"more\":1"),
        ];
        let read = read(&format!("{good}{}\n", bad.join("\n"))).unwrap();
        assert_eq!((read.count("x"), read.unread.len()), (1, bad.len()), "{:?}", read.unread);
        assert!(read.unread[0].starts_with("line 3 is ignored: "), "{:?}", read.unread);
    }

    #[test]
    fn other_schemas_are_left_alone() {
        let mut book = Book::default();
        book.add("x", record(1, &["order(o0)"]));
        let later = read(&book.text().replace("tuning/1", "tuning/2")).unwrap();
        assert_eq!((later.count("x"), later.unread.len()), (0, 1));
        assert!(read("").is_err() && read("{}").is_err() && read("\u{7f}ELF").is_err());
    }
}
