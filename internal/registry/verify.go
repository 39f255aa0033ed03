package registry

import "golang.org/x/mod/sumdb/note"

// AuditKey checks the checkpoints of the audit log. It comes from the private
// key, which opens with secret.key alone, and not from what the database says.
func (r *Registry) AuditKey() note.Verifier { return r.keys().verifier }
