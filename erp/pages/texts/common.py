"""What every page says."""

TEXTS = {
    "language": {"es": "Idioma", "en": "Language"},
    "clear_filters": {"es": "Quitar los filtros", "en": "Clear filters"},
    "store": {"es": "Tienda", "en": "Store"},
    "stores": {"es": "Tiendas", "en": "Stores"},
    "category": {"es": "Categoría", "en": "Category"},
    "categories": {"es": "Categorías", "en": "Categories"},
    "subcategory": {"es": "Subcategoría", "en": "Subcategory"},
    "payment": {"es": "Forma de pago", "en": "Payment"},
    "payments": {"es": "Formas de pago", "en": "Payments"},
    "customer": {"es": "Cliente", "en": "Customer"},
    "customers": {"es": "Clientes", "en": "Customers"},
    "product": {"es": "Producto", "en": "Product"},
    "products": {"es": "Productos", "en": "Products"},
    "sale": {"es": "Venta", "en": "Sale"},
    "date": {"es": "Fecha", "en": "Date"},
    "quantity": {"es": "Cantidad", "en": "Quantity"},
    "amount": {"es": "Importe", "en": "Amount"},
    "unknown": {"es": "(sin dato)", "en": "(unknown)"},
    "download_csv": {"es": "Descargar CSV", "en": "Download CSV"},
    "download_excel": {"es": "Descargar Excel", "en": "Download Excel"},
    "raw_data": {"es": "Datos", "en": "Data"},
    "refresh": {"es": "Actualizar", "en": "Refresh"},
    "failed_title": {
        "es": "Esta página ha encontrado un problema",
        "en": "This page ran into a problem",
    },
    "failed_hint": {
        "es": "El detalle está en el registro del servidor. Vuelve a cargar la página para probar"
        " de nuevo.",
        "en": "The details are in the server's log. Reload the page to try again.",
    },
    "settings_wrong": {
        "es": "La configuración tiene un valor que no vale. La terminal del servidor dice cuál.",
        "en": "A setting has a wrong value. The server's terminal says which.",
    },
    "mongo_away": {
        "es": "MongoDB no responde en {address}",
        "en": "MongoDB does not answer at {address}",
    },
    "mongo_away_hint": {
        "es": "Arráncalo con `make up` (o `docker compose up -d`) o revisa `MONGO_URI`. Esta página"
        " vuelve a intentarlo sola cada {seconds} segundos.",
        "en": "Start it with `make up` (or `docker compose up -d`) or check `MONGO_URI`. This page"
        " tries again by itself every {seconds} seconds.",
    },
    "mongo_refuses": {
        "es": "MongoDB rechaza la conexión a {address}",
        "en": "MongoDB refuses to connect at {address}",
    },
    "mongo_refuses_hint": {
        "es": "Revisa el usuario y la contraseña de `MONGO_URI`. El detalle está en el registro del"
        " servidor.",
        "en": "Check the user and the password in `MONGO_URI`. The details are in the server's"
        " log.",
    },
    "all_stores": {"es": "Todas las tiendas", "en": "All stores"},
    "no_store": {"es": "Sin tienda", "en": "No store"},
    "refresh_every": {"es": "Actualizar cada", "en": "Refresh every"},
    "refresh_seconds": {"es": "{n} s", "en": "{n} s"},
    "pause": {"es": "Pausar", "en": "Pause"},
    "paused": {"es": "En pausa", "en": "Paused"},
}
