//! A QEMU that stays: its vhost-user socket listens for a back-end that is started by hand.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::cli::{ServerCommand, ServerName, StartOptions};
use crate::identity::Identity;
use crate::image::Image;
use crate::link::is_listening;
use crate::link::{Faults, Listens};
use crate::machine::{Machine, NetOptions, READY};
use crate::places;
use crate::process::last_words;
use crate::tools::{Qemu, Tools};
use crate::trial::{Deadline, Shared, Trial};

/// The folder of servers, in the cache.
pub(crate) const FOLDER: &str = "server";

/// How long QEMU may take until it listens.
const START: Duration = Duration::from_secs(30);

/// How long it may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(10);

/// What is remembered of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    process: Identity,
    /// When it was started, in seconds after 1970.
    began: u64,
    /// Where it listens.
    socket: PathBuf,
    /// What it was told.
    options: StartOptions,
}

/// A server, which may run.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    /// The folder of all servers.
    folder: PathBuf,
}

/// Does what is asked.
///
/// # Errors
/// It cannot be done; why.
pub(crate) fn run(command: &ServerCommand) -> Result<ExitCode> {
    let named = |which: &ServerName| Server::new(&which.name, which.cache.as_deref());
    match command {
        ServerCommand::Start(options) => {
            let server = Server::new(&options.name, options.common.cache.as_deref())?;
            server.start(options)?;
            server.status()
        }
        ServerCommand::Status(name) => named(name)?.status(),
        ServerCommand::Stop(name) => {
            let server = named(name)?;
            let words = match server.stop()? {
                Some(pid) => format!("has ended (pid {pid})"),
                None => "does not run".to_owned(),
            };
            println!("server {} {words}", server.name);
            Ok(ExitCode::SUCCESS)
        }
        ServerCommand::Restart(name) => {
            let server = named(name)?;
            let state = server.state()?.with_context(|| {
                format!("server {} was never started, so that its options are not known", name.name)
            })?;
            server.stop()?;
            server.start(&state.options)?;
            server.status()
        }
    }
}

/// All servers that were started and not stopped.
///
/// # Errors
/// The cache cannot be read.
pub(crate) fn all(cache: &Path) -> Result<Vec<Server>> {
    let folder = cache.join(FOLDER);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut servers = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            servers.push(Server { name: name.to_owned(), folder: folder.clone() });
        }
    }
    Ok(servers)
}

impl Server {
    /// The server of a name that is remembered in a cache.
    fn new(name: &str, cache: Option<&Path>) -> Result<Self> {
        Ok(Self { name: name.to_owned(), folder: places::cache(cache)?.join(FOLDER) })
    }

    /// How it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The folder with its logs and sockets.
    fn own(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    /// What is remembered of it.
    fn state(&self) -> Result<Option<State>> {
        let file = self.file();
        match fs::read(&file) {
            Ok(text) => {
                let state = serde_json::from_slice(&text);
                Ok(Some(state.with_context(|| format!("{} is damaged", file.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// Starts it. It listens when this returns, and its guest begins when a back-end has come:
    /// QEMU wants to hear of features first.
    fn start(&self, options: &StartOptions) -> Result<()> {
        if let Some(state) = self.state()?.filter(|state| state.process.is_alive()) {
            let (name, pid) = (&self.name, state.process.pid);
            bail!(
                "server {name} runs already (pid {pid}); `server restart` and `server stop` end it"
            );
        }
        let options = options.absolute()?;
        let folder = self.own();
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let socket = options.socket.clone().unwrap_or_else(|| folder.join("net"));
        is_free(&socket)?;
        let trial = trial(&options, folder.clone())?;
        let mut command = command(&trial, &options, &socket)?;
        let log = folder.join("qemu.log");
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().context("setsid cannot be started")?;
        let listens = trial.deadline.wait_for("QEMU does not listen", || {
            if let Some(status) = child.try_wait()? {
                bail!("QEMU ended with {status}; see {}{}", log.display(), last_words(&log));
            }
            Ok(is_listening(&socket).then_some(()))
        });
        let saved = listens.and_then(|()| {
            let process = i32::try_from(child.id()).ok().and_then(Identity::of);
            let process = process.context("QEMU has ended just now")?;
            let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            let state = State { process, began, socket, options };
            fs::write(self.file(), serde_json::to_string_pretty(&state)? + "\n")
                .with_context(|| format!("{} cannot be written", self.file().display()))
        });
        if saved.is_err() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        saved
    }

    /// Ends it, if it runs; its number then.
    ///
    /// # Errors
    /// It cannot be ended.
    pub(crate) fn stop(&self) -> Result<Option<i32>> {
        let Some(state) = self.state()? else { return Ok(None) };
        let process = state.process;
        let was_there = process.signal(Signal::TERM)?;
        let ended = || Ok((!process.is_alive()).then_some(()));
        if Deadline::after(STOP).wait_for("QEMU does not end", ended).is_err() {
            process.signal(Signal::KILL)?;
            Deadline::after(STOP).wait_for("QEMU cannot be killed", ended)?;
        }
        let is_socket = |file: fs::Metadata| file.file_type().is_socket();
        if fs::symlink_metadata(&state.socket).is_ok_and(is_socket) && !is_listening(&state.socket)
        {
            fs::remove_file(&state.socket)?;
        }
        fs::remove_file(self.file())?;
        Ok(was_there.then_some(process.pid))
    }

    /// Prints how it is.
    fn status(&self) -> Result<ExitCode> {
        let Some(state) = self.state()? else {
            println!("server {} does not run", self.name);
            return Ok(ExitCode::FAILURE);
        };
        let (pid, folder) = (state.process.pid, self.own());
        let log = folder.join("qemu.log");
        if !state.process.is_alive() {
            println!("server {} has ended by itself (pid {pid}); log {}", self.name, log.display());
            print!("{}", last_words(&log).trim_start_matches('\n'));
            return Ok(ExitCode::FAILURE);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let serial = fs::read(folder.join("serial.log")).unwrap_or_default();
        let is_up = String::from_utf8_lossy(&serial).contains(READY);
        let has_back_end = is_connected(&state.socket);
        let guest = match (is_up, has_back_end) {
            (true, _) => "up",
            (false, true) => "boots",
            (false, false) => "begins when a back-end has come",
        };
        let rows = [
            ("socket", state.socket.display().to_string()),
            ("pid", pid.to_string()),
            ("uptime", uptime(now.saturating_sub(state.began))),
            ("memory", format!("{} MiB", state.options.memory)),
            ("arguments", state.options.arguments.join(" ")),
            ("back-end", if has_back_end { "connected" } else { "none" }.to_owned()),
            ("guest", guest.to_owned()),
            ("guest's shell", folder.join("shell").display().to_string()),
            ("guest's log", folder.join("console.log").display().to_string()),
            ("log", log.display().to_string()),
        ];
        println!("server {} runs", self.name);
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            println!("    {name:<14} {value}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What QEMU is started with, in a session of its own: it outlives this command and its terminal.
fn command(trial: &Trial, options: &StartOptions, socket: &Path) -> Result<Command> {
    let qemu = trial.shared.tools.qemu.as_ref().context("QEMU is not installed")?;
    let mut machine = Machine::with_memory(trial, &options.name, options.memory)?;
    machine.kernel(trial, "smoke.client")?;
    let shell = "socket,id=shell,path=shell,server=on,wait=off,logfile=serial.log";
    machine.add(["-chardev", shell, "-serial", "chardev:shell", "-serial", "file:console.log"]);
    let net = NetOptions { listens: Listens::Front, ..NetOptions::DEFAULT };
    machine.net(trial, socket, &net);
    machine.add(&options.arguments);
    let mut command = Command::new("setsid");
    command.arg(&qemu.path).args(machine.arguments()).current_dir(trial.folder());
    Ok(command)
}

/// The folder and the tools that a machine is made with.
fn trial(options: &StartOptions, folder: PathBuf) -> Result<Trial> {
    let cache = places::cache(options.common.cache.as_deref())?;
    let image = Image::new(&cache, options.common.kernel.as_deref())?;
    let mut tools = Tools {
        qemu: Some(Qemu::find(options.common.qemu.as_deref())?),
        storage_daemon: None,
        responder: PathBuf::new(),
        is_kvm: false,
    };
    tools.is_kvm = check::accelerator(&cache, &tools, &image, options.common.accel)?;
    let shared =
        Shared { tools, image: Some(image), record: None, report: None, faults: Faults::default() };
    Ok(Trial::new("server", folder, Arc::new(shared), START))
}

/// QEMU takes the place of whatever is at the path.
fn is_free(socket: &Path) -> Result<()> {
    let shown = socket.display();
    let max = places::SOCKET_PATH_MAX;
    ensure!(
        socket.as_os_str().len() < max,
        "{shown}: the path of a socket has less than {max} bytes; choose one with --socket"
    );
    ensure!(!is_listening(socket), "somebody listens at {shown} already");
    match fs::symlink_metadata(socket) {
        Ok(file) => ensure!(file.file_type().is_socket(), "{shown} is there, and is no socket"),
        Err(_) => {
            let parent = socket.parent().is_some_and(Path::is_dir);
            ensure!(parent, "{shown}: there is no such folder");
        }
    }
    Ok(())
}

/// Whether somebody has connected to a socket that listens.
fn is_connected(socket: &Path) -> bool {
    // Num RefCount Protocol Flags Type St Inode Path; 03 is connected.
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let Some(path) = socket.to_str() else { return false };
    table.lines().any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words.get(5) == Some(&"03") && words.last() == Some(&path)
    })
}

/// Hours, minutes and seconds.
fn uptime(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_socket_nobody_listens_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        is_free(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(is_free(&path).unwrap_err().to_string().contains("listens"));
        drop(listener);
        is_free(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "data").unwrap();
        assert!(is_free(&path).unwrap_err().to_string().contains("no socket"));
        assert!(is_free(&folder.path().join("no/x")).is_err());
        assert!(is_free(Path::new(&format!("/{}", "x".repeat(108)))).is_err());
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!([5, 65, 7300].map(uptime), ["5 s", "1 min 5 s", "2 h 1 min"]);
    }
}
