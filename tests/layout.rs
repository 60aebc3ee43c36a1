//! The house that the sources live in: folders are the stages of a job's journey, and imports run only down it.
//!
//! Read from the `use` lines of each file; what stands in its tests does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of `src`, from the door down: each imports only from those after it.
const JOURNEY: [&str; 22] = [
    "pool",
    "submit",
    "handle",
    "worker",
    "engine",
    "desk",
    "dispatcher",
    "queue_order",
    "keys",
    "handler",
    "context",
    "queue",
    "gate",
    "metrics",
    "outcome",
    "job",
    "error",
    "spawner",
    "time",
    "wait",
    "id",
    "sync",
];

/// What stands beside the journey: it may import anything, and nothing imports it.
const BESIDE: [&str; 4] = ["guide", "model", "sim", "testing"];

/// A source tree: the file of each module, by the module's path without `crate`.
struct Sources {
    root: PathBuf,
    files: BTreeMap<String, PathBuf>,
}

impl Sources {
    fn of(root: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let mut sources = Sources {
            files: BTreeMap::new(),
            root: root.clone(),
        };
        sources.add(&root, "");
        sources
    }

    fn add(&mut self, folder: &Path, within: &str) {
        let entries = fs::read_dir(folder).expect("a folder of sources");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let name = name.expect("a plain name");
            let module = match (within, name) {
                (_, "mod") => within.to_owned(),
                ("", _) => name.to_owned(),
                _ => format!("{within}::{name}"),
            };
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                self.add(&path, &module);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.files.insert(module, path);
            }
        }
    }

    fn name(&self, module: &str) -> String {
        let file = self.files[module].strip_prefix(&self.root).expect("below");
        file.display().to_string()
    }

    /// The module that a path like `queue::envelope::Queued` lies in.
    fn module_of(&self, path: &str) -> Option<&str> {
        let mut prefix = path;
        loop {
            if let Some((module, _)) = self.files.get_key_value(prefix) {
                return Some(module);
            }
            prefix = prefix.rsplit_once("::")?.0;
        }
    }

    /// Which modules each module imports.
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let imports = |(module, file): (&String, &PathBuf)| {
            let text = fs::read_to_string(file).expect("a source");
            let is_face = file.ends_with("mod.rs");
            let parent = match (is_face, module.rsplit_once("::")) {
                (_, Some((parent, _))) => parent,
                (_, None) => "",
            };
            used_paths(&text)
                .into_iter()
                .filter_map(|(path, is_reexport)| {
                    let path = match path.split_once("::")? {
                        ("crate", rest) => rest.to_owned(),
                        ("super", rest) => format!("{parent}::{rest}"),
                        _ => return None,
                    };
                    let imported = self.module_of(path.trim_start_matches("::"))?;
                    // A folder's face shows what its own files have.
                    let shows = is_face && is_reexport && imported.starts_with(module.as_str());
                    (imported != module && !shows).then_some(imported)
                })
                .collect()
        };
        let modules = self.files.iter();
        modules
            .map(|(module, file)| (module.as_str(), imports((module, file))))
            .collect()
    }
}

/// The paths of the `use` declarations, one for each name, and of paths that are written out; and whether it is a
/// re-export.
fn used_paths(text: &str) -> Vec<(String, bool)> {
    let code: String = text
        .lines()
        .take_while(|line| {
            !line.starts_with("mod tests") && !line.starts_with("pub(crate) mod tests")
        })
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n");
    let mut paths = Vec::new();
    for statement in code
        .split_inclusive([';', '{', '}'])
        .collect::<Vec<_>>()
        .join("")
        .split(';')
    {
        let Some(at) = statement
            .rfind("use crate::")
            .or_else(|| statement.rfind("use super::"))
        else {
            continue;
        };
        let before = statement[..at].rsplit('\n').next().unwrap_or_default();
        let tree: String = statement[at + 4..].split_whitespace().collect();
        expand("", &tree, &mut |path| {
            paths.push((path, before.contains("pub")))
        });
    }
    for written in code.split("crate::").skip(1) {
        let end = written.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let path = &written[..end.unwrap_or(written.len())];
        paths.push((format!("crate::{path}"), path.ends_with("::")));
    }
    paths
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &str, tree: &str, each: &mut impl FnMut(String)) {
    let Some((head, rest)) = tree.split_once('{') else {
        return each(format!("{prefix}{tree}"));
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if from < at {
                    expand(&format!("{prefix}{head}"), &inner[from..at], each);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// Imports that lead back to where they began.
fn circle<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn walk<'a>(
        at: &'a str,
        imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if let Some(begin) = way.iter().position(|&module| module == at) {
            return Some(way[begin..].iter().copied().chain([at]).collect());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        let found = imports
            .get(at)
            .into_iter()
            .flatten()
            .find_map(|next| walk(next, imports, way, done));
        way.pop();
        done.insert(at);
        found
    }
    let mut done = BTreeSet::new();
    imports
        .keys()
        .find_map(|module| walk(module, imports, &mut Vec::new(), &mut done))
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

#[test]
fn imports_run_only_down_the_journey() {
    let sources = Sources::of("src");
    let stage = |module: &str| JOURNEY.iter().position(|&one| one == top(module));
    let mut upwards = Vec::new();
    for (module, imported) in sources.imports() {
        if module == "lib" || BESIDE.contains(&top(module)) {
            continue;
        }
        let from = stage(module).unwrap_or_else(|| panic!("{module} is not on the journey"));
        for imported in imported.into_iter().filter(|imported| *imported != "lib") {
            if stage(imported).is_none_or(|to| to < from) {
                upwards.push(format!(
                    "{} imports {}",
                    sources.name(module),
                    sources.name(imported)
                ));
            }
        }
    }
    assert!(
        upwards.is_empty(),
        "imports that run back up:\n{}",
        upwards.join("\n")
    );
}

#[test]
fn no_imports_lead_back_to_where_they_began() {
    for root in ["src", "benches/src"] {
        let sources = Sources::of(root);
        let mut imports = sources.imports();
        imports.retain(|module, _| *module != "lib");
        assert!(
            imports.values().any(|imported| !imported.is_empty()),
            "{root} is read"
        );
        let circle = circle(&imports).map(|circle| {
            let names: Vec<_> = circle.iter().map(|module| sources.name(module)).collect();
            names.join(" imports ")
        });
        assert_eq!(circle, None, "in {root}");
    }
}

#[test]
fn what_is_imported_is_read_from_the_text() {
    let text = "use crate::a::{b::{C, d}, E};\npub(crate) use super::f::G;\n// use crate::no::N;\n\
                fn f() { crate::h::i(); }\nmod tests {\n    use crate::no::N;\n}\n";
    let mut paths: Vec<_> = used_paths(text).into_iter().collect();
    paths.sort();
    let paths: Vec<_> = paths
        .iter()
        .map(|(path, shows)| (path.as_str(), *shows))
        .collect();
    for expected in [
        ("crate::a::E", false),
        ("crate::a::b::C", false),
        ("crate::a::b::d", false),
        ("crate::h::i", false),
        ("super::f::G", true),
    ] {
        assert!(paths.contains(&expected), "{expected:?} in {paths:?}");
    }
    assert!(
        paths.iter().all(|(path, _)| !path.contains("no")),
        "{paths:?}"
    );
    let imports = |pairs: &[(&'static str, &'static str)]| {
        let mut imports = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, to) in pairs {
            imports.entry(*from).or_default().insert(*to);
        }
        circle(&imports)
    };
    assert_eq!(imports(&[("a", "b"), ("b", "c"), ("a", "c")]), None);
    assert_eq!(
        imports(&[("a", "b"), ("b", "c"), ("c", "b")]),
        Some(vec!["b", "c", "b"])
    );
}
