//! From what a launch passes to an open gate.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use weir_protocol::Policy;
use weir_protocol::method::process::Denial;

use super::{Gate, Sockets, Surroundings};
use crate::launch::passed::{Descriptors, Passed};

/// Opens the gate of the sandbox from which these descriptors came, in tasks of the current `LocalSet`.
///
/// # Errors
/// A socket has not come, or is none. Then nothing inside reaches anything.
pub fn open(policy: Arc<Policy>, mut passed: Descriptors) -> io::Result<Rc<Gate>> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "a socket of the network gate did not come");
    let tcp = [passed.remove(Passed::TcpV4).ok_or_else(missing)?];
    let tcp = tcp.into_iter().chain(passed.remove(Passed::TcpV6)).collect();
    let resolver = passed.remove(Passed::Resolver).ok_or_else(missing)?;
    let surroundings = Surroundings {
        resolv_conf: passed.read(Passed::ResolvConf).unwrap_or_default(),
        hosts: passed.read(Passed::Hosts).unwrap_or_default(),
        roots: passed.read(Passed::Roots),
        upstream: None,
    };
    Gate::open(policy, Sockets { tcp, resolver }, surroundings)
}

/// A gate with a thread of its own, for a server part that has nothing else to wait for many.
#[derive(Debug)]
pub struct Apart {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<Vec<Denial>>>,
}

impl Apart {
    /// Opens it and goes on when it is open.
    ///
    /// # Errors
    /// As [`open`]; the thread could not be made.
    pub fn open(policy: Arc<Policy>, passed: Descriptors) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(LocalSet::new().run_until(async {
                let gate = open(policy, passed)?;
                let _ = tell.send(());
                let _ = stopped.await;
                Ok(gate.denials())
            }))
        })?;
        match told.blocking_recv() {
            Ok(()) => Ok(Self { stop, thread }),
            // What kept it from opening is what the thread ended with.
            Err(_) => {
                Err(thread.join().ok().and_then(Result::err).unwrap_or_else(|| io::Error::other("it ended")))
            }
        }
    }

    /// Ends it; what it refused.
    pub fn end(self) -> Vec<Denial> {
        let _ = self.stop.send(());
        self.thread.join().ok().and_then(Result::ok).unwrap_or_default()
    }
}
