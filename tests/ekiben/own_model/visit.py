"""A customer is answered, and later it is known whether that was right."""

from ekiben.client import Client

with Client("http://127.0.0.1:3000") as router:
    answer = router.predict("reviews", "u-1", {"review": "it came late and the box was broken"})
    print(answer.prediction["label"], answer.version)
    router.outcome("solved", 1, prediction_id=answer.prediction_id, id="order-4711-solved")
