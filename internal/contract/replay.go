package contract

import "grapnel/internal/hook"

// ReplayInput is the input of the workflow and the activity Replay.
type ReplayInput struct {
	ReplayID hook.ReplayID `json:"replay_id"`
}

// ReplayResult is the result of a replay that has ended.
type ReplayResult struct {
	// State is completed or canceled. Reason says why it was canceled, where nobody asked
	// for that.
	State  hook.ReplayState `json:"state"`
	Reason string           `json:"reason,omitempty"`
	// Scanned counts the events that were looked at, Deliveries the deliveries that were made.
	Scanned    int `json:"scanned"`
	Deliveries int `json:"deliveries"`
	Succeeded  int `json:"succeeded"`
	Failed     int `json:"failed"`
	Canceled   int `json:"canceled"`
}
