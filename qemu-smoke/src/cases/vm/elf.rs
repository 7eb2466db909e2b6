//! Whether a program is one that needs nothing but the kernel.

use anyhow::{Context as _, Result, bail, ensure};

/// The kind of a program header that names a loader.
const PT_INTERP: u32 = 3;

/// The machine that guest and host are.
const EM_X86_64: u16 = 62;

/// Reads the head of an ELF file: 64 bits, little-endian, for this machine, and with no loader.
///
/// # Errors
/// What it is not.
pub(super) fn check_static(file: &[u8]) -> Result<()> {
    ensure!(file.starts_with(b"\x7fELF"), "no ELF file");
    ensure!(file.get(4..6) == Some(&[2, 1]), "not 64 bits, little-endian");
    ensure!(u16_at(file, 18)? == EM_X86_64, "not for x86-64");
    let table = usize::try_from(u64_at(file, 32)?)?;
    let (size, count) = (usize::from(u16_at(file, 54)?), usize::from(u16_at(file, 56)?));
    for index in 0..count {
        let at = index.checked_mul(size).and_then(|at| at.checked_add(table));
        let kind = u32_at(file, at.context("a table of headers beyond all memory")?)?;
        if kind == PT_INTERP {
            bail!("linked dynamically: it names a loader");
        }
    }
    ensure!(count > 0, "no program headers");
    Ok(())
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).context("cut short")?;
    Ok(file.get(at..end).context("cut short")?.try_into()?)
}

fn u16_at(file: &[u8], at: usize) -> Result<u16> {
    bytes(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Result<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Result<u64> {
    bytes(file, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with one program header of a kind.
    fn head(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = 62;
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64..68].copy_from_slice(&kind.to_le_bytes());
        file
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        check_static(&head(1)).unwrap();
        let error = check_static(&head(PT_INTERP)).unwrap_err().to_string();
        assert!(error.contains("loader"), "{error}");
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let file = head(1);
        for len in 0..68 {
            assert!(check_static(&file[..len]).is_err(), "{len}");
        }
        assert!(check_static(b"#!/bin/sh\n").is_err());
    }
}
