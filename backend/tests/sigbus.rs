//! A file that is shortened under a mapping does not end the process. It is a test program of its
//! own, because a signal handler belongs to a process.

use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost_fuzz_backend::{Mapping, sigbus};
use vhost_fuzz_core::ring::RingMemory as _;

const PAGE: u64 = 4096;

fn mapping() -> (OwnedFd, Mapping) {
    let fd = memfd_create(c"memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4 * PAGE).unwrap();
    let mapping = Mapping::of_file(fd.try_clone().unwrap(), 0, 4 * PAGE, PAGE).unwrap();
    mapping.write(3 * PAGE, &[7; 8]).unwrap();
    (fd, mapping)
}

#[test]
fn what_is_gone_reads_as_zeros() {
    sigbus::install().unwrap();
    let ((fd, mapping), (_file, untouched)) = (mapping(), mapping());
    ftruncate(&fd, PAGE).unwrap();
    assert!(!mapping.is_lost());
    let mut bytes = [1; 8];
    mapping.read(3 * PAGE, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 8]);
    assert!(mapping.is_lost() && !untouched.is_lost());
    mapping.write(3 * PAGE, &[5; 8]).unwrap();
    mapping.read(3 * PAGE, &mut bytes).unwrap();
    assert_eq!(bytes, [5; 8], "the pages are ours now");
}

#[test]
fn without_a_handler_the_process_ends() {
    const CHILD: &str = "VHOST_FUZZ_TEST_SIGBUS";
    if std::env::var_os(CHILD).is_some() {
        let (fd, mapping) = mapping();
        ftruncate(&fd, 0).unwrap();
        let mut bytes = [0; 8];
        mapping.read(0, &mut bytes).unwrap();
        unreachable!("the access beyond the end of the file was fatal");
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new(this)
        .args(["--exact", "without_a_handler_the_process_ends"])
        .env(CHILD, "1")
        .output()
        .unwrap()
        .status;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(7), "the child ended with {status}, not with SIGBUS");
}
