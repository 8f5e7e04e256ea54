package hook

// Recorded is the result of recording attempts.
type Recorded struct {
	// Deliveries are the deliveries as they now stand.
	Deliveries []Delivery
	// Starts are the operational events that the recording has published.
	Starts []Start
}

// Ended is the result of ending deliveries without an attempt.
type Ended struct {
	// Deliveries are the ids of the deliveries that were ended.
	Deliveries []DeliveryID
	// Starts are the operational events that report them.
	Starts []Start
}
