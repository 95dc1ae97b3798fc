//! Processes that talk with each other inside.

use super::work::Work;

#[test]
fn inotify_tells_of_changes() {
    Work {
        name: "inotify",
        needs: &["/usr/bin/python3"],
        files: &[],
        script: "/usr/bin/python3 - <<'END'\n\
                 import ctypes, os, struct\n\
                 libc = ctypes.CDLL(None, use_errno=True)\n\
                 fd = libc.inotify_init1(0)\n\
                 assert libc.inotify_add_watch(fd, b'.', 0x100 | 0x200) > 0, ctypes.get_errno()\n\
                 open('seen', 'w').close(); os.unlink('seen')\n\
                 data = b''\n\
                 while len(data) < 64: data += os.read(fd, 4096)\n\
                 print([hex(struct.unpack_from('iIII', data, at)[1]) for at in (0, 32)])\n\
                 END",
        expect: "['0x100', '0x200']\n",
    }
    .check();
}

#[test]
fn locks_keep_others_out() {
    Work {
        name: "flock",
        needs: &["flock"],
        files: &[],
        script: "flock lock sh -c 'flock -n lock echo twice || echo held'; flock -n lock echo free",
        expect: "held\nfree\n",
    }
    .check();
}

#[test]
fn memory_and_semaphores_are_shared() {
    Work {
        name: "shm",
        needs: &["/usr/bin/python3"],
        files: &[(
            "shared.py",
            "import multiprocessing as mp\nfrom multiprocessing import shared_memory\n\
             def add(name, lock, n):\n    \
                 memory = shared_memory.SharedMemory(name)\n    \
                 for _ in range(n):\n        \
                     with lock:\n            \
                         memory.buf[0:4] = (int.from_bytes(memory.buf[0:4], 'little') + 1).to_bytes(4, 'little')\n    \
                 memory.close()\n\
             if __name__ == '__main__':\n    \
                 memory = shared_memory.SharedMemory(create=True, size=64)\n    \
                 lock = mp.Semaphore(1)\n    \
                 all = [mp.Process(target=add, args=(memory.name, lock, 500)) for _ in range(4)]\n    \
                 [one.start() for one in all]; [one.join() for one in all]\n    \
                 print(int.from_bytes(memory.buf[0:4], 'little'))\n    \
                 memory.close(); memory.unlink()\n",
        )],
        script: "/usr/bin/python3 shared.py",
        expect: "2000\n",
    }
    .check();
}

#[test]
fn threads_run_together() {
    Work {
        name: "threads",
        needs: &["/usr/bin/python3"],
        files: &[],
        script: "/usr/bin/python3 - <<'END'\n\
                 import threading\n\
                 barrier, done = threading.Barrier(32), []\n\
                 def run():\n    \
                     barrier.wait(); done.append(1)\n\
                 all = [threading.Thread(target=run) for _ in range(32)]\n\
                 [one.start() for one in all]; [one.join() for one in all]\n\
                 print(len(done))\n\
                 END",
        expect: "32\n",
    }
    .check();
}
