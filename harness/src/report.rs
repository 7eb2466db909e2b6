//! When an oracle speaks, the input becomes a test that a person can paste.

use std::any::Any;
use std::fmt::Write as _;

/// Longest input that is printed in full; a longer one is only named.
const PRINT_LIMIT: usize = 4096;

/// The message of a panic; nothing when it carried something else than words.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// A test that runs `bytes` through `target` again, and how to keep it.
#[must_use]
pub fn test(target: &str, bytes: &[u8]) -> String {
    let mut text = String::from("\n---- paste this into a test, or keep the input ----\n");
    let name = format!("{target}_{:08x}", checksum(bytes));
    if bytes.len() <= PRINT_LIMIT {
        let _ = writeln!(text, "#[test]\nfn {name}() {{");
        let _ = writeln!(text, "    vhost_fuzz_harness::target::{target}::run(&[");
        for line in bytes.chunks(16) {
            let hex: Vec<String> = line.iter().map(|byte| format!("{byte:#04x}")).collect();
            let _ = writeln!(text, "        {},", hex.join(", "));
        }
        let _ = writeln!(text, "    ]);\n}}");
    } else {
        let _ = writeln!(text, "(an input of {} bytes: too long to print)", bytes.len());
    }
    let _ = writeln!(
        text,
        "cargo xtask corpus add {target} FILE --name {name} --shows \"what went wrong\"\n\
         ----"
    );
    text
}

/// FNV-1a, so that the same input gets the same name.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_has_every_byte_and_the_command() {
        let text = test("msg_decode", &[0x01, 0xff]);
        assert!(text.contains("#[test]\nfn msg_decode_"), "{text}");
        assert!(text.contains("vhost_fuzz_harness::target::msg_decode::run(&["), "{text}");
        assert!(text.contains("        0x01, 0xff,\n    ]);\n}"), "{text}");
        assert!(text.contains("cargo xtask corpus add msg_decode FILE --name msg_decode_"));
    }

    #[test]
    fn a_long_input_is_named_only() {
        let text = test("msg_decode", &[0; PRINT_LIMIT + 1]);
        assert!(text.contains("4097 bytes"), "{text}");
        assert!(!text.contains("#[test]"), "{text}");
    }
}
