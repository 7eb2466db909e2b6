//! `corpus explain`: prints an input for a person. Any bytes are explained, also those that make
//! the code panic.

mod dhcp;
mod gateway;
mod ipv6;
mod memory;
mod message;
mod net_device;
mod net_header;
mod queue;
mod ring;
mod rings;
mod script;
mod session;

use std::cell::Cell;
use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use anyhow::{Context as _, Result, bail};
use vhost_fuzz_harness::target::{TARGETS, Target};

use super::judge::{judge, target};
use super::manifest;

/// Explains a file, whose target is `named` or that of the folder it lies in.
///
/// # Errors
/// When the file cannot be read or its target is not known.
pub(super) fn file(root: &Path, path: &Path, named: Option<&str>) -> Result<String> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let target = match named {
        Some(name) => target(name)?,
        None => infer(path)?,
    };
    let mut text = format!("{}: {} bytes for {}\n", path.display(), bytes.len(), target.name);
    let verdict = judge(target.name, &bytes)?.verdict;
    // Writing to a string does not fail.
    let _ = entry(&mut text, root, path, target.name, &verdict);
    text.push('\n');
    match target.name {
        "arp" => gateway::explain(&mut text, &bytes),
        "dhcp" => dhcp::explain(&mut text, &bytes),
        "diff_virtio_queue" => queue::explain(&mut text, &bytes),
        "mem_table" => memory::explain(&mut text, &bytes),
        "msg_decode" => message::explain(&mut text, &bytes),
        "diff_vhost" | "msg_stream" => script::explain(&mut text, &bytes),
        "net_device" => net_device::explain(&mut text, &bytes),
        "net_header" => net_header::explain(&mut text, &bytes),
        "dhcpv6" => ipv6::explain::<vhost_fuzz_model::net::dhcpv6::Server>(&mut text, &bytes),
        "ndp" => ipv6::explain::<vhost_fuzz_model::net::ndp::Gateway>(&mut text, &bytes),
        "packed_chain" | "split_chain" => ring::explain_image(&mut text, target.name, &bytes),
        "packed_ring" | "split_ring" => ring::explain_script(&mut text, target.name, &bytes),
        "ring_equivalence" => rings::explain(&mut text, &bytes),
        "session" => session::explain(&mut text, &bytes),
        other => bail!("{other}: inputs of this target cannot be explained yet"),
    }
    let _ = writeln!(text, "verdict: {verdict}");
    Ok(text)
}

/// The target whose name the nearest folder of the path has.
fn infer(path: &Path) -> Result<&'static Target> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folders = whole.ancestors().skip(1).filter_map(Path::file_name);
    let found = folders.filter_map(|name| TARGETS.iter().find(|target| name == target.name)).next();
    found.with_context(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        format!(
            "{}: no folder of its path is named as a target; expected --target, one of {}",
            path.display(),
            names.join(", ")
        )
    })
}

/// What the manifest says, for a file of the corpus.
fn entry(
    text: &mut String,
    root: &Path,
    path: &Path,
    target: &str,
    verdict: &str,
) -> std::fmt::Result {
    let folder = root.join(target).canonicalize();
    let whole = path.canonicalize();
    let (Ok(folder), Ok(whole)) = (folder, whole) else { return Ok(()) };
    if whole.parent() != Some(folder.as_path()) {
        return Ok(());
    }
    let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match manifest::read(root, target) {
        Err(error) => writeln!(text, "manifest: {error:#}"),
        Ok(manifest) => match manifest.get(name) {
            None => writeln!(text, "manifest: corpus/{target}.toml has no entry {name}"),
            Some(entry) => {
                writeln!(text, "shows:   {}", entry.shows)?;
                writeln!(text, "origin:  {}", entry.origin)?;
                if entry.expect != verdict {
                    writeln!(text, "expect:  {}, which is not what comes out", entry.expect)?;
                }
                Ok(())
            }
        },
    }
}

/// Runs code under test; gives the message of its panic, if it panics, and prints none.
fn quietly<T>(run: impl FnOnce() -> T) -> std::result::Result<T, String> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                next(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result.map_err(|panic| vhost_fuzz_harness::report::panic_text(&*panic))
}

/// One line of a table: offset, size, field, value.
fn row(text: &mut String, offset: usize, size: usize, field: &str, value: &str) {
    let line = format!("{offset:>6} {size:>5}  {field:<18} {value}");
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A number in hex, and in decimal where that says more.
fn number(value: u64) -> String {
    if value < 10 { value.to_string() } else { format!("{value:#x} ({value})") }
}

/// Bytes in hex, 16 to a line; lines that repeat are only counted.
fn dump(text: &mut String, mut offset: usize, field: &str, bytes: &[u8]) {
    let mut lines = bytes.chunks(16).peekable();
    let mut field = field;
    while let Some(line) = lines.next() {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        row(text, offset, line.len(), field, &hex.join(" "));
        offset += line.len();
        field = "";
        let mut repeated = 0;
        while lines.next_if(|next| *next == line).is_some() {
            repeated += 1;
        }
        if repeated > 0 {
            let what = format!("… the same {} more", super::summary::count(repeated, "time"));
            row(text, offset, 16 * repeated, "", &what);
            offset += 16 * repeated;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn saved(folder: &str, name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join(folder).join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, bytes).expect("written");
        (root, path)
    }

    #[test]
    fn the_folder_names_the_target() {
        for folder in ["msg_decode", "target/fuzz-campaign/msg_decode", "msg_stream/msg_decode/a"] {
            let (root, path) = saved(folder, "x", &[]);
            let text = file(root.path(), &path, None).expect("explained");
            assert!(text.contains("0 bytes for msg_decode"), "{text}");
        }
        let (root, path) = saved("elsewhere", "x", &[]);
        let error = file(root.path(), &path, None).expect_err("no target").to_string();
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        let expected = format!("expected --target, one of {}", names.join(", "));
        assert!(error.ends_with(&expected), "{error}");
        assert!(file(root.path(), &path, Some("msg_stream")).is_ok());
        assert!(file(root.path(), &path, Some("msg")).is_err());
        let missing = file(root.path(), &root.path().join("none"), Some("msg_stream"));
        assert!(missing.expect_err("no file").to_string().ends_with("none cannot be read"));
    }

    #[test]
    fn a_panic_is_told_and_not_printed() {
        assert_eq!(quietly(|| 7), Ok(7));
        assert_eq!(quietly(|| panic!("at {}", 3)), Err::<(), _>("at 3".to_owned()));
    }

    #[test]
    fn repeated_lines_are_counted() {
        let mut text = String::new();
        dump(&mut text, 12, "data", &[0; 40]);
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[0],
            "12    16  data               00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
        );
        assert_eq!(lines[1], "28    16                     … the same 1 time more");
        assert_eq!(lines[2], "44     8                     00 00 00 00 00 00 00 00");
    }

    #[test]
    fn random_bytes_are_explained() {
        let (root, path) = saved("any", "x", &[]);
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        for round in 0..2000 {
            let mut bytes: Vec<u8> = (0..round % 97).map(|_| next()).collect();
            // Half of them begin as something sensible.
            if round % 2 == 0 {
                let start = [1, 1, u8::from(round % 4 == 0), 0, 0, 0, 0, 0, 0, 0, next() % 60, 0];
                let len = start.len().min(bytes.len());
                bytes[..len].copy_from_slice(&start[..len]);
            }
            std::fs::write(&path, &bytes).expect("written");
            for target in TARGETS {
                assert!(file(root.path(), &path, Some(target.name)).is_ok(), "{bytes:x?}");
            }
        }
    }
}
