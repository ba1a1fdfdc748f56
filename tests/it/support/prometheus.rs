//! A strict reader of what a Prometheus scraper is given.

use std::collections::HashSet;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    OpenMetrics,
    /// The text format 0.0.4.
    Classic,
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub fn has(&self, label: &str, value: &str) -> bool {
        self.labels.iter().any(|(known, held)| known == label && held == value)
    }

    fn label(&self, label: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == label);
        found.map(|(_, value)| &**value)
    }

    /// What names its series, leaving out `except`.
    fn series(&self, except: &str) -> String {
        let mut labels: Vec<_> = self.labels.iter().filter(|(name, _)| name != except).collect();
        labels.sort();
        format!("{labels:?}")
    }
}

/// All samples of a page.
#[derive(Debug)]
pub struct Page(Vec<Sample>);

impl Page {
    /// Reads `text`, and panics at whatever a scraper might not take.
    pub fn read(text: &str, format: Format) -> Self {
        let body = match format {
            Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("it ends with # EOF"),
            Format::Classic => text,
        };
        assert!(!body.contains("# EOF") && (body.is_empty() || body.ends_with('\n')));
        let (mut samples, mut families, mut series) = (Vec::new(), HashSet::new(), HashSet::new());
        let (mut helped, mut family) = (String::new(), (String::new(), String::new()));
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split(' ').next().expect("a name").to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, helped, "its help comes first");
                assert!(families.insert(name.to_owned()), "{name} is there twice");
                let is_total = name.ends_with("_total");
                match format {
                    Format::OpenMetrics => assert!(!is_total, "{name}"),
                    Format::Classic => assert_eq!(is_total, kind == "counter", "{name}"),
                }
                family = (name.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                assert_eq!(format, Format::OpenMetrics);
                let (name, unit) = rest.split_once(' ').expect("a name and a unit");
                assert!(name == family.0 && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                let sample = sample(line);
                let suffix = sample.name.strip_prefix(&family.0);
                let suffix = suffix.unwrap_or_else(|| panic!("{line} is not of {family:?}"));
                let fits = match (&*family.1, format) {
                    ("counter", Format::OpenMetrics) => suffix == "_total",
                    ("counter" | "gauge", _) => suffix.is_empty(),
                    ("histogram", _) => ["_bucket", "_sum", "_count"].contains(&suffix),
                    _ => false,
                };
                assert!(fits, "{line} is not of {family:?}");
                assert!(series.insert(format!("{} {}", sample.name, sample.series(""))), "{line}");
                samples.push(sample);
            }
        }
        let page = Self(samples);
        page.check_histograms();
        page
    }

    /// The sample `name` with just these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_it = |sample: &&Sample| {
            sample.labels.len() == labels.len()
                && labels.iter().all(|(label, value)| sample.has(label, value))
        };
        let found = self.all(name).find(is_it);
        found.unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}")).value
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Sample> {
        let name = name.to_owned();
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// Buckets do not shrink, and the last one has everything.
    fn check_histograms(&self) {
        for count in self.0.iter().filter(|sample| sample.name.ends_with("_seconds_count")) {
            let name = count.name.replace("_count", "_bucket");
            let buckets = self.all(&name).filter(|bucket| bucket.series("le") == count.series(""));
            let (mut last, mut end) = (0.0, f64::NEG_INFINITY);
            for bucket in buckets {
                let le = bucket.label("le").expect("a bucket has an end");
                let le: f64 = le.parse().expect("a number");
                assert!(bucket.value >= last && le > end, "{bucket:?}");
                (last, end) = (bucket.value, le);
            }
            assert!(end == f64::INFINITY && last == count.value, "{count:?}");
        }
    }
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line} is no sample"));
    let (name, rest) = line.split_at(name_end);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(is_name), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (Vec::new(), rest),
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("{line} has no value"));
    Sample { name: name.to_owned(), labels, value: value.parse().expect("a number") }
}

/// The labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        let (mut text, mut chars) = (String::new(), value.char_indices());
        let end = loop {
            match chars.next().expect("the value ends") {
                (end, '"') => break end,
                (_, '\\') => text.push(match chars.next().expect("something is escaped").1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("\\{c} is no escape"),
                }),
                (_, c) => text.push(c),
            }
        };
        labels.push((name.to_owned(), text));
        rest = &value[end + 1..];
        match rest.as_bytes()[0] {
            b',' => rest = &rest[1..],
            b'}' => return (labels, &rest[1..]),
            _ => panic!("{rest} goes on oddly"),
        }
    }
}
