package contract

import (
	"time"

	"grapnel/internal/hook"
)

// SendNowInput is the input of the workflow and the activity SendNow: the delivery to send by
// hand.
type SendNowInput struct {
	DeliveryID hook.DeliveryID `json:"delivery_id"`
}

// Limited says why a delivery was not sent by hand, and when to ask again.
type Limited struct {
	Reason     hook.WaitReason `json:"reason"`
	Message    string          `json:"message"`
	RetryAfter time.Duration   `json:"retry_after"`
}
