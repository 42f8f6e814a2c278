"""What the page of recommendations says."""

TEXTS: dict[str, dict[str, str]] = {
    "reco_title": {"es": "Recomendaciones", "en": "Recommendations"},
    "reco_search": {
        "es": "Buscar venta, cliente o producto",
        "en": "Search sale, customer or product",
    },
    "reco_search_hint": {"es": "número o nombre", "en": "number or name"},
    "reco_order": {"es": "Orden", "en": "Order"},
    "reco_newest": {"es": "más nuevas", "en": "newest first"},
    "reco_oldest": {"es": "más antiguas", "en": "oldest first"},
    "reco_clear": {"es": "Limpiar", "en": "Clear"},
    "reco_clear_help": {
        "es": "Oculta lo que hay y espera a las recomendaciones nuevas.",
        "en": "Hides what is here and waits for new recommendations.",
    },
    "reco_beginning": {"es": "Volver al principio", "en": "Back to the beginning"},
    "reco_beginning_help": {
        "es": "Lee el tópico otra vez desde su primer mensaje y muestra de nuevo lo ocultado.",
        "en": "Reads the topic again from its first message and shows again what was hidden.",
    },
    "reco_view": {"es": "Vista", "en": "View"},
    "reco_view_cards": {"es": "Ventas", "en": "Sales"},
    "reco_view_model": {"es": "Modelo", "en": "Model"},
    "reco_view_debug": {"es": "Depuración", "en": "Debug"},
    "reco_from_kafka": {"es": "Kafka, en directo", "en": "Kafka, live"},
    "reco_from_mongo": {"es": "MongoDB, de respaldo", "en": "MongoDB, as backup"},
    "reco_from_none": {"es": "Sin conexión", "en": "Not connected"},
    "reco_away": {
        "es": "Ni Kafka ({kafka}) ni MongoDB ({mongo}) responden. Se muestra lo último que se leyó;"
        " la página sigue intentándolo sola. Arráncalos con `make up` o `docker compose up -d`.",
        "en": "Neither Kafka ({kafka}) nor MongoDB ({mongo}) answers. What was last read is shown;"
        " the page keeps trying by itself. Start them with `make up` or `docker compose up -d`.",
    },
    "reco_reading": {"es": "Leyendo las recomendaciones…", "en": "Reading the recommendations…"},
    "reco_empty": {
        "es": "**Todavía no hay recomendaciones**  \nArranca el servicio con"
        " `python reco_service_stream.py` y envía ventas; aparecerán aquí solas.",
        "en": "**There are no recommendations yet**  \nStart the service with"
        " `python reco_service_stream.py` and send sales; they show up here by themselves.",
    },
    "reco_cleared": {
        "es": "Limpio. Las recomendaciones nuevas aparecerán aquí solas.",
        "en": "Cleared. New recommendations show up here by themselves.",
    },
    "reco_no_match": {
        "es": "Ninguna recomendación cumple la búsqueda y los filtros.",
        "en": "No recommendation matches the search and the filters.",
    },
    "reco_held": {"es": "{n} en memoria", "en": "{n} in memory"},
    "reco_matching": {"es": "{n} cumplen los filtros", "en": "{n} match the filters"},
    "reco_last": {"es": "la última se calculó {ago}", "en": "the last one was made {ago}"},
    "reco_found_stored": {
        "es": "Encontradas en MongoDB, anteriores a lo que hay en memoria.",
        "en": "Found in MongoDB, older than what is in memory.",
    },
    "reco_bought": {"es": "Productos comprados: {n}", "en": "Products bought: {n}"},
    "reco_no_basket": {
        "es": "Las líneas de la venta no llegaron a tiempo.",
        "en": "The lines of the sale did not come in time.",
    },
    "reco_more": {"es": "y {n} más", "en": "and {n} more"},
    "reco_recommended": {"es": "Le recomendamos", "en": "Recommended"},
    "reco_confidence": {"es": "Confianza", "en": "Confidence"},
    "reco_confidence_help": {
        "es": "Probabilidad de que la próxima compra del cliente lleve este producto.",
        "en": "Probability that the customer's next sale holds this product.",
    },
    "reco_relevance": {"es": "Relevancia", "en": "Relevance"},
    "reco_relevance_help": {
        "es": "Puntuación del modelo {score}, en porcentaje de la mejor.",
        "en": "The model's score {score}, as a share of the best one's.",
    },
    "reco_ranking": {"es": "Ranking", "en": "Ranking"},
    "reco_ranking_help": {"es": "Puesto en la lista: {share}", "en": "Place in the list: {share}"},
    "reco_source_model": {"es": "modelo", "en": "model"},
    "reco_source_category": {"es": "categoría", "en": "category"},
    "reco_source_popular": {"es": "popular", "en": "popular"},
    "reco_because": {"es": "porque lleva {reasons}", "en": "because of {reasons}"},
    "reco_habit": {
        "es": "por lo que compra este cliente",
        "en": "from what this customer buys",
    },
    "reco_support": {"es": "ventas con ambos: {n}", "en": "sales with both: {n}"},
    "reco_incomplete": {"es": "cesta incompleta", "en": "incomplete basket"},
    "reco_incomplete_help": {
        "es": "Faltaban líneas de la venta cuando venció el plazo.",
        "en": "Lines of the sale were missing at the deadline.",
    },
    "reco_made": {
        "es": "Calculada {time} en {latency} · {algo} · {version}",
        "en": "Made {time} in {latency} · {algo} · {version}",
    },
    "reco_answers": {"es": "Ventas con recomendación", "en": "Sales answered"},
    "reco_mean_confidence": {"es": "Confianza media", "en": "Mean confidence"},
    "reco_coverage": {"es": "Cobertura del catálogo", "en": "Catalogue coverage"},
    "reco_coverage_help": {
        "es": "{n} productos distintos recomendados, de {total} activos.",
        "en": "{n} distinct products recommended, of {total} active ones.",
    },
    "reco_coverage_unknown": {
        "es": "{n} productos distintos recomendados; MongoDB no dice cuántos hay.",
        "en": "{n} distinct products recommended; MongoDB does not say of how many.",
    },
    "reco_latency": {"es": "Latencia mediana", "en": "Median latency"},
    "reco_latency_95": {"es": "Latencia, percentil 95", "en": "Latency, 95th percentile"},
    "reco_latency_help": {
        "es": "Desde que la venta entra en Kafka hasta que su recomendación está lista.",
        "en": "From the sale's entry in Kafka until its recommendation is made.",
    },
    "reco_model_age": {"es": "Edad del modelo", "en": "Age of the model"},
    "reco_model_version": {"es": "Versión {version}", "en": "Version {version}"},
    "reco_bought_next": {"es": "Acierto en la compra siguiente", "en": "Bought in the next sale"},
    "reco_outcome": {"es": "¿Sirvieron?", "en": "Did they help?"},
    "reco_outcome_help": {
        "es": "Lo que cada cliente compró después de su recomendación, según el procesador. Vale"
        " para toda la tienda: la búsqueda y los filtros no lo cambian.",
        "en": "What each customer bought after the recommendation, as the processor found. It is"
        " of the whole shop: search and filters do not change it.",
    },
    "reco_outcome_of": {
        "es": "Ventas del {first} al {last} y lo comprado hasta {days} d después de cada una;"
        " {anonymous} sin cliente conocido.",
        "en": "Sales from {first} to {last}, and what was bought up to {days} d after each;"
        " {anonymous} without a known customer.",
    },
    "reco_outcome_none": {
        "es": "Nadie ha mirado todavía qué se compró después. Arranca"
        " `python mongo_data_processor_completo.py --watch 10`.",
        "en": "Nobody has looked yet what was bought later. Start"
        " `python mongo_data_processor_completo.py --watch 10`.",
    },
    "reco_outcome_waiting": {
        "es": "Una recomendación se cuenta cuando han pasado {days} días de ventas desde la suya;"
        " aún no ha pasado ese tiempo por ninguna.",
        "en": "A recommendation is counted when {days} days of sales have passed since its own;"
        " for none have they passed yet.",
    },
    "reco_outcome_away": {
        "es": "MongoDB no responde: no se puede saber qué compraron después.",
        "en": "MongoDB does not answer: what was bought later is not known.",
    },
    "reco_accepted": {"es": "Aceptación", "en": "Acceptance"},
    "reco_accepted_help": {
        "es": "Productos recomendados que el cliente compró dentro del plazo.",
        "en": "Products recommended that the customer bought within the days.",
    },
    "reco_accepted_by": {"es": "Aceptación por", "en": "Acceptance by"},
    "reco_kind_rank": {"es": "Puesto", "en": "Rank"},
    "reco_kind_source": {"es": "Origen", "en": "Source"},
    "reco_kind_confidence": {"es": "Confianza", "en": "Confidence"},
    "reco_kind_version": {"es": "Versión", "en": "Version"},
    "reco_kind_arm": {"es": "Grupo", "en": "Group"},
    "reco_arm_model": {"es": "modelo", "en": "model"},
    "reco_arm_control": {"es": "control: solo populares", "en": "control: bestsellers only"},
    "reco_interval": {"es": "95 %: de {low} a {high}", "en": "95%: {low} to {high}"},
    "reco_interval_heading": {"es": "Intervalo 95 %", "en": "95% interval"},
    "reco_products": {"es": "Productos", "en": "Products"},
    "reco_sales": {"es": "Ventas", "en": "Sales"},
    "reco_points": {"es": "{n} puntos", "en": "{n} points"},
    "reco_lift": {"es": "Ventaja sobre el control", "en": "More than the control"},
    "reco_lift_help": {
        "es": "Diferencia entre la parte de ventas con algún acierto del modelo y la del grupo de"
        " control, que solo recibió los más vendidos. Si el intervalo no contiene el cero, el"
        " modelo aporta algo.",
        "en": "Share of the model's sales with a hit less that of the control group, which had"
        " bestsellers only. Where the interval leaves out zero, the model adds something.",
    },
    "reco_no_control": {"es": "sin grupo de control", "en": "no control group"},
    "reco_answers_hit": {"es": "Ventas con algún acierto", "en": "Sales with a hit"},
    "reco_answers_hit_help": {
        "es": "Ventas de las que el cliente compró después al menos un producto recomendado.",
        "en": "Sales after which the customer bought at least one of the products recommended.",
    },
    "reco_not_returned": {
        "es": "Ningún cliente ha vuelto dentro del plazo.",
        "en": "No customer came back within the days.",
    },
    "reco_training": {"es": "Último entrenamiento", "en": "Last training"},
    "reco_training_help": {
        "es": "Lo que decidió `model_train_reco.py --only-if-better`.",
        "en": "What `model_train_reco.py --only-if-better` decided.",
    },
    "reco_replaced": {
        "es": "el modelo nuevo entró en servicio",
        "en": "the new model went into service",
    },
    "reco_kept": {"es": "siguió el modelo de antes", "en": "the model before stayed"},
    "reco_reason_not_worse": {
        "es": "porque no es peor.",
        "en": "because it is not worse.",
    },
    "reco_reason_worse": {
        "es": "porque el nuevo es peor.",
        "en": "because the new one is worse.",
    },
    "reco_reason_no_model": {"es": "porque no había otro.", "en": "because there was no other."},
    "reco_reason_unusable_model": {
        "es": "porque el de antes no se podía leer.",
        "en": "because the one before could not be read.",
    },
    "reco_reason_too_few_sales": {
        "es": "porque hay muy pocas ventas para compararlos.",
        "en": "because there are too few sales to compare them.",
    },
    "reco_compared": {
        "es": "De {asked} productos ocultos de las ventas más nuevas, el nuevo encuentra entre diez"
        " el {candidate} y {before} el {in_service}: {ratio} veces (95 %: de {low} a {high}); se"
        " admite un {margin} menos.",
        "en": "Of {asked} hidden products of the newest sales the new one finds {candidate} within"
        " ten, {before} {in_service}: {ratio} times (95%: {low} to {high}); {margin} less is"
        " allowed.",
    },
    "reco_before_as_it_is": {"es": "el de antes", "en": "the one before"},
    "reco_before_fitted_anew": {
        "es": "el de antes, entrenado con las mismas ventas,",
        "en": "the one before, trained on the same sales,",
    },
    "reco_said": {"es": "confianza media: {value}", "en": "mean confidence: {value}"},
    "reco_distribution": {
        "es": "Confianza de los productos recomendados",
        "en": "Confidence of the products recommended",
    },
    "reco_distribution_relevance": {
        "es": "Relevancia de los productos recomendados",
        "en": "Relevance of the products recommended",
    },
    "reco_by_source": {"es": "Origen de las recomendaciones", "en": "Where they come from"},
    "reco_calibration": {"es": "Lo dicho y lo ocurrido", "en": "Said and happened"},
    "reco_calibration_help": {
        "es": "Confianza anunciada frente a lo que se compró en la visita siguiente. Sobre la"
        " diagonal, la confianza es verdadera.",
        "en": "Confidence stated against what was bought on the next visit. On the diagonal the"
        " confidence is true.",
    },
    "reco_calibration_point": {
        "es": "dicho {said}, ocurrido {happened}, {n} productos",
        "en": "said {said}, happened {happened}, {n} products",
    },
    "reco_latency_distribution": {"es": "Latencia", "en": "Latency"},
    "reco_products_n": {"es": "productos: {n}", "en": "products: {n}"},
    "reco_answers_n": {"es": "ventas: {n}", "en": "sales: {n}"},
    "reco_partition": {"es": "Partición", "en": "Partition"},
    "reco_low": {"es": "Primer offset", "en": "First offset"},
    "reco_high": {"es": "Final", "en": "End"},
    "reco_position": {"es": "Leído hasta", "en": "Read up to"},
    "reco_lag": {"es": "Retraso", "en": "Lag"},
    "reco_debug_topic": {"es": "Tópico", "en": "Topic"},
    "reco_debug_source": {"es": "Fuente", "en": "Source"},
    "reco_debug_read": {"es": "Mensajes leídos", "en": "Messages read"},
    "reco_debug_bad": {"es": "Ilegibles", "en": "Unreadable"},
    "reco_debug_held": {"es": "En memoria (máximo {n})", "en": "In memory (at most {n})"},
    "reco_debug_problem": {"es": "Problema", "en": "Problem"},
    "reco_debug_fine": {"es": "ninguno", "en": "none"},
    "reco_debug_group": {
        "es": "Un solo consumidor para todo el servidor, sin grupo: no deja nada en Kafka.",
        "en": "A single consumer for the whole server, without a group: it leaves nothing in"
        " Kafka.",
    },
    "reco_debug_item": {"es": "Dato", "en": "Item"},
    "reco_debug_value": {"es": "Valor", "en": "Value"},
    "reco_debug_raw": {"es": "Último mensaje", "en": "Last message"},
}
