//! The privileged composition: loads profiles, decides, launches and supervises commands.
