package client

import "time"

// SetNewPartitionsEvery makes replays look for new partitions sooner. It is called before any begins.
func (c *Client) SetNewPartitionsEvery(d time.Duration) { c.newPartitionsEvery = d }

// Opts are the client's options.
func (c *Client) Opts() Options { return c.options }
