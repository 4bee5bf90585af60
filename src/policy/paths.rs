//! Which unix paths are known to be of the service. Under RPM_PORTS=auto a program may bind a path that is its own alone,
//! with another name in each of its lives: Python's multiprocessing does. Such a name must not be expected of the next
//! worker.

use std::collections::VecDeque;

use crate::model::Pid;

use super::unix::UnixKey;

/// Most paths that are remembered.
const PATHS: usize = 64;

/// What the ready rules call a unix path that only one worker has bound, whatever its name is.
pub const OWN_PATH: &str = "(a unix path)";

/// The paths that workers have bound, each with the first worker that did; the one bound last at the end.
#[derive(Debug, Default)]
pub struct BoundPaths(VecDeque<(UnixKey, Pid)>);

impl BoundPaths {
    /// A worker has bound this path. Whether another worker had bound it before: then it is a path of the service.
    pub fn bound(&mut self, path: &UnixKey, worker: Pid) -> bool {
        let known = self.0.iter().position(|(other, _)| other == path);
        let known = known.and_then(|at| self.0.remove(at));
        let first = known.map_or(worker, |(_, first)| first);
        if self.0.len() >= PATHS {
            self.0.pop_front();
        }
        self.0.push_back((path.clone(), first));
        first != worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_the_service_when_a_second_worker_binds_it() {
        let path = |name: &str| UnixKey::Path(name.as_bytes().to_vec());
        let pid = |number| Pid::new(number).unwrap();
        let mut paths = BoundPaths::default();
        let app = path("/run/app.sock");
        assert!(!paths.bound(&app, pid(7)));
        assert!(!paths.bound(&app, pid(7)), "the same worker once more");
        assert!(paths.bound(&app, pid(8)));
        assert!(paths.bound(&app, pid(8)));
        for life in 0..1000 {
            let random = path(&format!("/tmp/{life}"));
            assert!(!paths.bound(&random, pid(life + 9)));
            assert!(
                paths.bound(&app, pid(life + 9)),
                "it is bound again and again"
            );
        }
        assert_eq!(paths.0.len(), PATHS);
    }
}
