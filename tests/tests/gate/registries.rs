//! Packages from the registries that this machine is set up with, in limited mode. Their names are asked for at run time.
