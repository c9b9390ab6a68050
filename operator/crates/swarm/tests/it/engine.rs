//! A private, real dockerd in a Swarm of one.
//!
//! It has its own network, mount and process namespace and its own data directory, so it
//! neither sees nor disturbs another Docker Engine. It dies with the test process, whatever
//! becomes of that: its first process ends when its standard input does.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What runs as the first processes of the namespaces. `$1` is the directory, `$2` the name.
const SCRIPT: &str = r#"
set -e
dir=$1 name=$2
ip link set lo up
ip address add 198.18.99.1/32 dev lo
mkdir -p /etc/docker "$dir/etc" "$dir/run/lock" "$dir/data"
mount --bind "$dir/etc" /etc/docker
mount --rbind "$dir/run" /run
exec tini -s -- sh -c '
    dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" -H "unix://$1/docker.sock" \
        --cgroup-parent "/$2" --shutdown-timeout 1 </dev/null &
    cat >/dev/null' sh "$dir" "$name"
"#;

pub struct Engine {
    dir: TempDir,
    name: String,
    process: Mutex<Option<Child>>,
}

impl Engine {
    /// The Engine that tests share which leave the daemon and the node alone; it lives as long
    /// as any of them holds it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let engine = Arc::new(Self::start());
            *shared = Arc::downgrade(&engine);
            engine
        })
    }

    /// An Engine of one's own, as a Swarm manager with the image `busybox:1.36`.
    pub fn start() -> Self {
        let engine = Self::start_without_swarm();
        engine.docker(&["swarm", "init", "--advertise-addr", "198.18.99.1"]);
        engine.import_busybox();
        engine
    }

    /// An Engine that is in no Swarm.
    pub fn start_without_swarm() -> Self {
        for tool in ["dockerd", "docker", "unshare", "tini", "ip", "iptables"] {
            let found = Command::new("which")
                .arg(tool)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(
                found.success(),
                "{tool} is needed for these tests: apt-get install docker.io iproute2 iptables tini"
            );
        }
        // Not /tmp: overlay2 needs a disk file system. Short: the path of a socket ends at 108.
        let dir = tempfile::Builder::new()
            .prefix("swt")
            .tempdir_in("/var/lib")
            .unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        let engine = Self {
            dir,
            name,
            process: Mutex::new(None),
        };
        engine.power_on();
        engine
    }

    /// Starts the daemon on the data that it has, and waits until it answers.
    pub fn power_on(&self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["--propagation", "slave", "bash", "-c", SCRIPT, "engine"])
            .args([self.dir.path().as_os_str(), self.name.as_ref()])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.process.lock().unwrap() = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(self.socket()).is_err() || !self.try_docker(&["info"]).0 {
            assert!(
                Instant::now() < deadline,
                "dockerd did not answer:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Cuts the power: every process of the Engine is gone when this returns.
    pub fn power_off(&self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
        for leftover in ["docker.sock", "pid"] {
            let _ = std::fs::remove_file(self.path(leftover));
        }
        for leftover in ["exec", "run"] {
            let _ = std::fs::remove_dir_all(self.path(leftover));
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Runs the docker client, as a person would behind our back.
    pub fn docker(&self, args: &[&str]) -> String {
        let (ok, out) = self.try_docker(args);
        assert!(ok, "docker {args:?}: {out}\n{}", self.log());
        out
    }

    fn try_docker(&self, args: &[&str]) -> (bool, String) {
        let out = Command::new("docker")
            .arg("-H")
            .arg(self.address())
            .args(args)
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&text).trim().to_owned(),
        )
    }

    fn import_busybox(&self) {
        let root = self.path("image");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("apt-get install busybox-static");
        for applet in ["sh", "sleep", "true", "false", "seq"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let tar = self.path("image.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
        self.docker(&["import", tar.to_str().unwrap(), "busybox:1.36"]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.power_off();
        remove_cgroups(Path::new("/sys/fs/cgroup"), &self.name);
    }
}

/// Empty cgroups stay behind their processes, one tree in every hierarchy.
fn remove_cgroups(root: &Path, name: &str) {
    let pattern = format!("*/{name}*");
    let _ = Command::new("find")
        .arg(root)
        .args([
            "-depth", "-type", "d", "-path", &pattern, "-exec", "rmdir", "{}", ";",
        ])
        .stderr(Stdio::null())
        .status();
}
