//! What this process holds, as the kernel lists it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// Descriptors, shared mappings and threads of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Descriptors of each kind: what the file is, without the numbers that tell two apart.
    pub descriptors: BTreeMap<String, usize>,
    /// Mappings of shared memory.
    pub mappings: usize,
    /// Threads.
    pub threads: usize,
}

impl Held {
    /// What is held now. The folder that is read for it is among it, every time.
    ///
    /// # Errors
    /// What the system says.
    pub fn now() -> io::Result<Self> {
        let mut held = Self::default();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            // Another thread may close one in between.
            let Ok(file) = std::fs::read_link(entry?.path()) else { continue };
            let kind: String =
                file.to_string_lossy().chars().filter(|it| !it.is_ascii_digit()).collect();
            *held.descriptors.entry(kind).or_default() += 1;
        }
        let is_shared = |line: &&str| {
            let rights = line.split_whitespace().nth(1);
            rights.is_some_and(|rights| rights.ends_with('s'))
        };
        held.mappings =
            std::fs::read_to_string("/proc/self/maps")?.lines().filter(is_shared).count();
        held.threads = std::fs::read_dir("/proc/self/task")?.count();
        Ok(held)
    }

    /// Descriptors of all kinds.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.descriptors.values().sum()
    }

    /// The kinds of descriptors of which there are more than before.
    fn more_than(&self, before: &Self) -> Vec<&str> {
        let is_more = |(kind, count): &(&String, &usize)| {
            before.descriptors.get(*kind).copied().unwrap_or(0) < **count
        };
        self.descriptors.iter().filter(is_more).map(|(kind, _)| kind.as_str()).collect()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptors, mappings, threads) = (self.descriptors(), self.mappings, self.threads);
        write!(f, "{descriptors} descriptors, {mappings} mappings, {threads} threads")
    }
}

/// What was held before and after something that should leave nothing behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Before.
    pub before: Held,
    /// After.
    pub after: Held,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after } = self;
        write!(f, "before: {before}; after: {after}")?;
        let more = after.more_than(before);
        if more.is_empty() { Ok(()) } else { write!(f, "; more of {}", more.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(count: usize) -> Held {
        let descriptors = [("socket:[]".to_owned(), 2), ("anon_inode:[eventfd]".to_owned(), count)];
        Held { descriptors: descriptors.into(), mappings: 3, threads: 4 }
    }

    #[test]
    fn what_is_left_is_told() {
        let left = Left { before: held(1), after: held(2) };
        let expected = "before: 3 descriptors, 3 mappings, 4 threads; \
                        after: 4 descriptors, 3 mappings, 4 threads; more of anon_inode:[eventfd]";
        assert_eq!(left.to_string(), expected);
    }

    #[test]
    fn this_process_holds_something() {
        let held = Held::now().unwrap();
        assert!(held.descriptors() > 0 && held.threads > 0, "{held}");
    }
}
