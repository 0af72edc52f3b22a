package transport

import "github.com/hashicorp/raft"

// Raft is Group as the library's type, for rooms that may not name it.
func (t *Transport) Raft(id GroupID) raft.Transport { return t.Group(id) }
